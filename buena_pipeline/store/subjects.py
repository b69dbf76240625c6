"""Who is meant: people as the caller names them enter, the keys by which a store knows them leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from buena_pipeline.columns import LEAD_COLUMNS, LeadColumns, find_columns, text_of
from buena_pipeline.errors import InputError
from buena_pipeline.identity import identify
from buena_pipeline.schema import KEY_KINDS
from buena_pipeline.tables import HALF_A_CHARACTER, as_frame, as_lead_table, printable

_NEEDED: Final = "an e-mail address, a LinkedIn profile, or first and last name with a company"
_SHOWN: Final = 5


def subject_keys(who: Any, columns: Mapping[str, str | Sequence[str] | None] | None = None) -> pl.DataFrame:
    """The keys of the people that are meant.

    Args:
        who: an e-mail address or the URL of a LinkedIn profile, or a list of such texts; a mapping with the
            fields of a lead; or a table with one person a row.
        columns: only with a table: which column says what; see ``columns.find_columns``.

    Returns:
        ``kind`` and ``value`` (String), each pair once: all strong keys of every row, and the key of name and
        company of the rows that have no other.

    Raises:
        InputError: if a text, the lead or a row identifies nobody, where empty rows of a table do not count;
            if ``who`` is nothing of that kind, or holds text that cannot be kept.
        ColumnError: if the table has no column that identifies.

    Example:
        >>> subject_keys("Jane Doe <jane@acme.example>").rows()
        [('email', 'jane@acme.example')]
        >>> subject_keys({"first_name": "Jane", "last_name": "Doe", "company": "Acme"})["kind"].to_list()
        ['name']
    """
    return subjects(who, columns).select("kind", "value").unique(maintain_order=True)


def subjects(who: Any, columns: Mapping[str, str | Sequence[str] | None] | None = None) -> pl.DataFrame:
    """The keys of the people that are meant, and which of them are one person's.

    Args:
        who: as for ``subject_keys``.
        columns: likewise.

    Returns:
        ``row`` (UInt32), the person's place in what is given; ``kind`` and ``value`` as in ``subject_keys``.

    Raises:
        InputError, ColumnError: as ``subject_keys`` does.
    """
    frame, found = _table_of(who, columns)
    rows = identify(frame, found)
    named = isinstance(who, str | list | tuple)
    _require_everybody(_unusable(frame, found, rows), rows, each="texts" if named else "rows")
    columns_of = {
        kind: [name for name in rows.columns if name == f"key_{kind}" or name.startswith(f"key_{kind}_")]
        for kind in KEY_KINDS
    }
    strong = [name for kind in KEY_KINDS if kind != "name" for name in columns_of[kind]]
    is_strong = pl.any_horizontal(pl.lit(value=False), pl.col(strong).is_not_null())
    rows = rows.with_columns(key_name=pl.when(~is_strong).then("key_name")).with_row_index("row")
    keys = [
        rows.select("row", pl.lit(kind).alias("kind"), pl.col(name).alias("value"))
        for kind in KEY_KINDS
        for name in columns_of[kind]
    ]
    return pl.concat(keys).drop_nulls().unique(maintain_order=True)


def unusable_rows(
    table: pl.DataFrame, columns: Mapping[str, str | Sequence[str] | None] | None = None
) -> pl.Series:
    """The rows of a table that say something, but not who: those that ``subject_keys`` refuses.

    Args:
        table: with one person a row.
        columns: as for ``subject_keys``.

    Returns:
        Boolean, one value per row.

    Raises:
        ColumnError: as ``subject_keys`` does.

    Example:
        >>> unusable_rows(pl.DataFrame({"email": ["jane@acme.example", "n/a", None]})).to_list()
        [False, True, False]
    """
    found = find_columns(table.schema, columns)
    return _unusable(table, found, identify(table, found))


def _table_of(
    who: Any, columns: Mapping[str, str | Sequence[str] | None] | None
) -> tuple[pl.DataFrame, LeadColumns]:
    """The people that are meant as a table, and which of its columns say who they are."""
    if columns and isinstance(who, Mapping | str | list | tuple):
        raise InputError("columns (--column) says which columns a table has; this is none.")
    if isinstance(who, Mapping):
        return as_lead_table(who), LEAD_COLUMNS
    if isinstance(who, str):
        who = [who]
    texts = isinstance(who, Sequence) and not isinstance(who, bytes | bytearray | memoryview)
    if texts and all(isinstance(text, str) for text in who):
        return _table_of_texts(list(who)), LeadColumns(email=("email",), linkedin_url="linkedin_url")
    if not isinstance(who, pl.LazyFrame) and not hasattr(who, "__arrow_c_stream__"):
        what = "a list of something else" if texts else type(who).__name__
        raise InputError(
            "Who is meant is said by an e-mail address, the URL of a LinkedIn profile, a list of such texts, "
            f"a mapping with the fields of a lead, or a table; not by {what}. Nothing was changed."
        )
    frame = as_frame(who)
    return frame, find_columns(frame.schema, columns)


def _table_of_texts(texts: list[str]) -> pl.DataFrame:
    """Texts that may each be an address or the URL of a profile."""
    given = {"email": texts, "linkedin_url": texts}
    try:
        return pl.DataFrame(given, schema=dict.fromkeys(given, pl.String))
    except UnicodeEncodeError:
        broken = next(number for number, text in enumerate(texts, 1) if printable(text) != text)
    raise InputError(f"Text {broken} of {len(texts)} {HALF_A_CHARACTER} Nothing was changed.")


def _unusable(frame: pl.DataFrame, columns: LeadColumns, rows: pl.DataFrame) -> pl.Series:
    """Which rows say something, but not who; ``rows`` are theirs of ``identify``."""
    said = frame.select(
        pl.any_horizontal(
            text_of(frame.schema, name).str.strip_chars().fill_null("") != "" for name in columns.names
        )
    ).to_series()
    return said & ~_identified(rows)


def _identified(rows: pl.DataFrame) -> pl.Series:
    """Which rows have a key at all."""
    return rows.select(pl.any_horizontal(pl.col("^key_.*$").is_not_null())).to_series()


def _require_everybody(unusable: pl.Series, rows: pl.DataFrame, *, each: str) -> None:
    """Refuses rows that say something, but not who: a list of people must not be done in part."""
    if rows.height and not _identified(rows).any():
        raise InputError(f"That identifies nobody: {_NEEDED} is needed. Nothing was changed.")
    unclear = unusable.arg_true() + 1
    if unclear.len():
        more = f" and {unclear.len() - _SHOWN:,} more" if unclear.len() > _SHOWN else ""
        they = "identifies" if unclear.len() == 1 else "identify"
        which = f"{', '.join(map(str, unclear[:_SHOWN]))}{more}"
        raise InputError(
            f"{unclear.len():,} of {rows.height:,} {each} {they} nobody, counted from 1: {which}. Needed is "
            f"{_NEEDED}. Mend these {each} or leave them out; nothing was changed."
        )
