"""Count the runs of `mnist-pairs` that worked: two digits, one from each generator, by the second paper's measure.

    python tools/pairs.py [results/mnist-pairs]

A run worked at an iteration if all of these hold by the classifier: the two generators have different majority digits;
for each generator, more than 0.9 of its samples that show a digit of the pair show its majority digit; at most a tenth
of all samples show a third digit. Barsim et al. (2018) show pictures of such pairs and give no figure. "purity alone"
ignores third digits. Runs are counted at the last iteration and at any, since the paper stops early and generators may
later converge to one digit. Choosing the best of eight points is hindsight, so the last is the headline. Only finished
runs count.
"""

from __future__ import annotations

import sys

import pandas as pd
from tabulate import tabulate

from gan_bench import load_results

ROW = ["label", "dataset", "seed", "iteration"]
PURITY, OUTSIDE = 0.9, 0.1


def judged(results: str) -> pd.DataFrame:
    """Return a row for each run and evaluation after the first: ROW, `worked`, `pure`, share of a third digit."""
    found = load_results(results)
    found = found[found["status"] == "finished"]
    whole, each = found[found["generator"].isna()], found[found["generator"].notna()]
    digits = whole[whole["metric"] == "majority_classes"].set_index(ROW)["value"]
    outside = whole[whole["metric"] == "outside_classes"].set_index(ROW)["value"]
    purity = each[each["metric"] == "purity"].groupby(ROW)["value"].min()
    rows = pd.DataFrame({"digits": digits, "purity": purity, "outside": outside}).dropna(subset="purity").reset_index()
    rows["pure"] = (rows["digits"] == 2) & (rows["purity"] > PURITY)
    rows["worked"] = rows["pure"] & (rows["outside"] <= OUTSIDE)
    return rows[rows["iteration"] > 0]


def counts(rows: pd.DataFrame) -> pd.DataFrame:
    """Count runs and those that worked by model, with the median share outside the pair at the last iteration."""
    last = rows[rows["iteration"] == rows.groupby(ROW[:3])["iteration"].transform("max")]
    ever = rows.groupby(ROW[:3])["worked"].any().reset_index()
    return pd.DataFrame(
        {
            "runs": last.groupby("label", sort=False).size(),
            "worked, last": last.groupby("label")["worked"].sum(),
            "worked, at any point": ever.groupby("label")["worked"].sum(),
            "purity alone, last": last.groupby("label")["pure"].sum(),
            "outside, last (median)": last.groupby("label")["outside"].median().round(3),
        }
    )


def by_pair(rows: pd.DataFrame) -> pd.DataFrame:
    """Count runs that worked at the last iteration, by pair and model."""
    last = rows[rows["iteration"] == rows.groupby(ROW[:3])["iteration"].transform("max")]
    return last.pivot_table(index="dataset", columns="label", values="worked", aggfunc="sum").astype("Int64")


if __name__ == "__main__":
    table = judged(sys.argv[1] if len(sys.argv) > 1 else "results/mnist-pairs")
    for part in (counts(table), by_pair(table)):
        print(tabulate(part, headers="keys", tablefmt="github", missingval=""), end="\n\n")
