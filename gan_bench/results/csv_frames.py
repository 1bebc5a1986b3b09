"""Text columns of the csv files of a results folder: no cell is a formula when a spreadsheet opens them."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from gan_bench import escape


def escaped(frame: pd.DataFrame) -> pd.DataFrame:
    """Frame with the text of its columns as `escape.csv_cell`."""
    return _mapped(frame, escape.csv_cell)


def restored(frame: pd.DataFrame) -> pd.DataFrame:
    """Frame whose columns `escaped` has written."""
    return _mapped(frame, escape.from_csv_cell)


def _mapped(frame: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """Change the text of each column, also of categories; each distinct text once, since most rows repeat one."""
    changed = {}
    for name in frame.columns:
        column = frame[name]
        grouped = isinstance(column.dtype, pd.CategoricalDtype)
        if grouped or pd.api.types.is_string_dtype(column.dtype):
            texts = {text: change(text) for text in column.unique() if isinstance(text, str)}
            if any(text != new for text, new in texts.items()):
                changed[name] = column.astype("str").map(texts).astype("category" if grouped else "str")
    return frame.assign(**changed) if changed else frame


def numbers(column: pd.Series[str]) -> pd.Series[float]:
    """Numbers of a column of categories, each distinct text parsed once; an empty cell has none.

    Raises:
        ValueError: a text is not a number.
    """
    texts = pd.Series(column.cat.categories, dtype="str")
    parsed = pd.to_numeric(texts.mask(texts == "")).to_numpy()
    return pd.Series(pd.api.extensions.take(parsed, column.cat.codes.to_numpy(), allow_fill=True), column.index)
