"""Who is meant: people as the caller names them enter, the keys by which a store knows them leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from buena_pipeline.columns import LEAD_COLUMNS, LeadColumns, find_columns
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
    columns_of = {
        kind: [name for name in rows.columns if name == f"key_{kind}" or name.startswith(f"key_{kind}_")]
        for kind in KEY_KINDS
    }
    strong = [name for kind in KEY_KINDS if kind != "name" for name in columns_of[kind]]
    is_strong = pl.any_horizontal(pl.lit(value=False), pl.col(strong).is_not_null())
    rows = rows.with_columns(key_name=pl.when(~is_strong).then("key_name")).with_row_index("row")
    somebody = rows.select(is_strong | pl.col("key_name").is_not_null()).to_series()
    _require_everybody(frame, found, somebody)
    keys = [
        rows.select("row", pl.lit(kind).alias("kind"), pl.col(name).alias("value"))
        for kind in KEY_KINDS
        for name in columns_of[kind]
    ]
    return pl.concat(keys).drop_nulls().unique(maintain_order=True)


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


def _require_everybody(frame: pl.DataFrame, columns: LeadColumns, identified: pl.Series) -> None:
    """Refuses rows that say something, but not who: a list of people must not be done in part."""
    said = frame.select(
        pl.any_horizontal(
            pl.col(name).cast(pl.String).str.strip_chars().fill_null("") != "" for name in columns.names
        )
    ).to_series()
    if frame.height and not identified.any():
        raise InputError(f"That identifies nobody: {_NEEDED} is needed. Nothing was changed.")
    unclear = (~identified & said).arg_true() + 1
    if unclear.len():
        more = f" and {unclear.len() - _SHOWN} more" if unclear.len() > _SHOWN else ""
        raise InputError(
            f"Some of that identifies nobody, counted from 1: {', '.join(map(str, unclear[:_SHOWN]))}{more}. "
            f"Needed is {_NEEDED}. Mend it or leave it out; nothing was changed."
        )
