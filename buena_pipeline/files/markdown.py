"""Tables as Markdown, for documents, issues and what Dagster shows."""

from __future__ import annotations

from typing import Any

import polars as pl

from buena_pipeline.files.plain import CONTROLS, plain_columns


def markdown_table(frame: pl.DataFrame) -> str:
    r"""All of a table in Markdown, with its numbers to the right.

    Args:
        frame: any table; cells are what a CSV would have, on one line each.

    Example:
        >>> print(markdown_table(pl.DataFrame({"title": ["VP | Sales", None], "n": [7, 12]})), end="")
        | title | n |
        | --- | ---: |
        | VP \| Sales | 7 |
        |  | 12 |
    """
    texts = frame.select(plain_columns(frame.schema)).select(_cell(pl.all().cast(pl.String).fill_null("")))
    names = _cell(pl.Series(frame.columns, dtype=pl.String))
    rules = ["---:" if dtype.is_numeric() else "---" for dtype in frame.dtypes]
    rows = [names.to_list(), rules, *texts.iter_rows()]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def _cell(text: Any) -> Any:
    """Text as a cell of a table can hold it: a column of a frame, or the names of its columns."""
    return (
        text.str.replace_all("\\", r"\\", literal=True)
        .str.replace_all("|", r"\|", literal=True)
        .str.replace_all("<", "&lt;", literal=True)
        .str.replace_all(CONTROLS, " ")
    )
