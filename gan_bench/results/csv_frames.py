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
    """Change the text of each column; each distinct text once, since most rows repeat one."""
    changed = {}
    for name in frame.columns:
        if pd.api.types.is_string_dtype(frame[name].dtype):
            texts = {text: change(text) for text in frame[name].unique() if isinstance(text, str)}
            if any(text != new for text, new in texts.items()):
                changed[name] = frame[name].map(texts)
    return frame.assign(**changed) if changed else frame
