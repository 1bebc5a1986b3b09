"""Conversion of a proof's JSON files to published figures and to the page on speed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import speed
from _page import PAGE, fill


def convert(folder: Path, to: Path | None) -> list[str]:
    """Write the figures of a.json and b.json to results/published and docs, or to the folder `to`.

    Returns:
        lines to print: the files written, and all verdicts.
    """
    proofs = [
        json.loads(path.read_text(encoding="utf-8")) for name in "ab" if (path := folder / f"{name}.json").is_file()
    ]
    if not proofs:
        raise SystemExit(f"{folder}: contains neither a.json nor b.json.")
    if to is None and any(proof["rehearsal"] for proof in proofs):
        raise SystemExit(f"{folder}: figures of a rehearsal are not published. Use --to DIR to write them to DIR.")
    rows = [row for proof in proofs for step in proof["steps"] for row in values(step).get("rows", ())]
    if not rows:
        raise SystemExit(f"{folder}: contains no figures, because no step that measures time has passed.")
    device = proofs[0]["device"]
    path, page = speed.published(device), PAGE
    if to is not None:
        to.mkdir(parents=True, exist_ok=True)
        path, page = to / path.name, to / PAGE.name
        shutil.copy(PAGE, page)
    speed.publish(path, rows)
    fill(page, device, path)
    verdicts = [line for proof in proofs for step in proof["steps"] for line in values(step).get("verdicts", ())]
    return [f"{len(rows)} rows in {path}", f"tables in {page}", *verdicts, *map(result_of, training(proofs))]


def values(step: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the values of a step that passed, otherwise an empty mapping."""
    return step["values"] if step["status"] == "passed" else {}


def training(proofs: list[dict[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the values of the training step, if it passed."""
    return [step["values"] for proof in proofs for step in proof["steps"] if step["name"] == "train" and values(step)]


def result_of(found: Mapping[str, Any]) -> str:
    """Return the result of training in one line."""
    return (
        f"{found['workload']}: FID of {found['samples']:,} samples against {found['against']:,} images after "
        f"{found['iterations']:,} iterations: {found['fid']:.1f}"
    )
