"""Who each row of a table is: a table enters, what can be sent and the keys that identify leave, row by row.

Which rows are the same person is the business of ``people``. Nothing here reads more than the columns that
it is given, and no row is dropped, added or moved.
"""

from __future__ import annotations

from typing import overload

import polars as pl

from buena_pipeline.columns import LeadColumns, require_columns, text_of
from buena_pipeline.errors import ColumnError
from buena_pipeline.normalize.email import MAX_ADDRESSES, email_addresses, is_role_mailbox, mailbox_of
from buena_pipeline.normalize.linkedin import is_member_id, profile
from buena_pipeline.normalize.names import cleaned_company, cleaned_names, split_full_name
from buena_pipeline.normalize.text import clean_text
from buena_pipeline.schema import LEAD_FIELDS

SEPARATOR = "\x1f"
"""Between the parts of a key that has two; no part can hold it."""


@overload
def identify(frame: pl.DataFrame, columns: LeadColumns) -> pl.DataFrame: ...
@overload
def identify(frame: pl.LazyFrame, columns: LeadColumns) -> pl.LazyFrame: ...
def identify(frame: pl.DataFrame | pl.LazyFrame, columns: LeadColumns) -> pl.DataFrame | pl.LazyFrame:
    r"""Say of every row who it is: what could be sent about it, and the keys by which it can be recognised.

    Args:
        frame: any table. A ``LazyFrame`` stays lazy, but its e-mail columns are read once beforehand.
        columns: which of its columns say what, see ``find_columns``.

    Returns:
        The same kind of frame with as many rows in the same order, all columns String and null where nothing
        is known:

        - ``email``, ``linkedin_url``, ``first_name``, ``last_name``, ``company``: what could be sent. The
          e-mail is the first usable address of all e-mail columns, in their order.
        - ``key_linkedin``: the slug of the profile.
        - ``key_member``: instead, where that is an internal id of LinkedIn's.
        - ``key_email_0``, ``key_email_1`` ...: mailboxes, one for each e-mail column in their order, then the
          further addresses of columns that hold several in one cell (at most five count). A role mailbox
          such as ``info@`` is among them only where the row has no name.
        - ``key_mailbox_0`` ...: in step with these, role mailboxes together with the name of the row.
        - ``key_name``: name and company, where first name, last name and company are all there.

    Raises:
        ColumnError: if a column is missing, nested (lists of addresses are fine) or binary, or none is given.

    Example:
        >>> leads = pl.DataFrame({"Mail": ["J.Doe+x@gmail.com", "info@x.com"], "Name": ["Jane Doe", "Jo"]})
        >>> rows = identify(leads, LeadColumns(email=("Mail",), full_name="Name"))
        >>> rows.select("email", "key_email_0").to_dict(as_series=False)
        {'email': ['j.doe+x@gmail.com', 'info@x.com'], 'key_email_0': ['jdoe@gmail.com', None]}
        >>> rows["key_mailbox_0"].to_list()
        [None, 'info@x.com\x1fjo']

    Rests on ``LeadInput`` of ``POST /enrich``: e-mail, or LinkedIn URL, or first and last name and company.
    """
    lazy = frame.lazy()
    require_columns(lazy.collect_schema(), columns)
    if not columns.names:
        raise ColumnError("No column is given that could say who the leads are; see find_columns().")
    places = _places(lazy, columns.email)
    rows = _names(_addresses(_given(lazy, columns), places), from_full_name=columns.full_name is not None)
    identified = _identified(rows, places)
    return identified.collect(engine="in-memory") if isinstance(frame, pl.DataFrame) else identified


def _places(lazy: pl.LazyFrame, emails: tuple[str, ...]) -> list[tuple[int, int]]:
    """Where addresses stand, as (number of the e-mail column, place in its cells): first places first."""
    if not emails:
        return []
    schema = lazy.collect_schema()
    cells = [text_of(schema, name) for name in emails]
    at_signs = [
        cell.filter(cell.str.contains("(?s)@.*@")).str.count_matches("@", literal=True).max()
        for cell in cells
    ]
    counts = lazy.select(**{str(nth): count for nth, count in enumerate(at_signs)}).collect().row(0)
    first = [(nth, 0) for nth in range(len(emails))]
    return first + [
        (nth, at) for nth, count in enumerate(counts) for at in range(1, min(count or 0, MAX_ADDRESSES))
    ]


def _given(lazy: pl.LazyFrame, columns: LeadColumns) -> pl.LazyFrame:
    """The columns that say who the leads are, under our names."""
    others = ("linkedin_url", "first_name", "last_name", "full_name", "company")
    names = {field: getattr(columns, field) for field in others}
    schema = lazy.collect_schema()
    return lazy.select(
        *(text_of(schema, name).alias(f"cell_{nth}") for nth, name in enumerate(columns.email)),
        *((pl.col(name) if name else pl.lit(None, pl.String)).alias(field) for field, name in names.items()),
    )


def _addresses(rows: pl.LazyFrame, places: list[tuple[int, int]]) -> pl.LazyFrame:
    """Rows with ``address_*`` and the ``mailbox_*`` behind each, ``profile`` and ``firm``."""
    most = {nth: 1 + max(place for cell, place in places if cell == nth) for nth, _ in places}
    return (
        rows.with_columns(
            profile(pl.col("linkedin_url")).alias("profile"),
            cleaned_company(pl.col("company")).alias("firm"),
            *(email_addresses(pl.col(f"cell_{nth}"), most=most[nth]) for nth in most),
        )
        .with_columns(
            pl.col(f"cell_{nth}").struct.field(f"address_{place}").alias(f"address_{number}")
            for number, (nth, place) in enumerate(places)
        )
        .with_columns(
            mailbox_of(pl.col(f"address_{number}")).alias(f"mailbox_{number}")
            for number in range(len(places))
        )
    )


def _names(rows: pl.LazyFrame, *, from_full_name: bool) -> pl.LazyFrame:
    """Rows with ``names``: clean first and last name, from the full name where both are missing, and key."""
    first, last = pl.col("first_name"), pl.col("last_name")
    if from_full_name:
        rows = rows.with_columns(clean_text(first), clean_text(last))
        unnamed = first.is_null() & last.is_null()
        rows = rows.with_columns(parts=split_full_name(pl.when(unnamed).then(pl.col("full_name"))))
        rows = rows.with_columns(
            pl.coalesce(field, pl.col("parts").struct.field(part))
            for field, part in (("first_name", "first"), ("last_name", "last"))
        )
    return rows.with_columns(cleaned_names(first, last).alias("names"))


def _identified(rows: pl.LazyFrame, places: list[tuple[int, int]]) -> pl.LazyFrame:
    """What could be sent, then the keys."""
    addresses = range(len(places))
    first, last, name_key = (pl.col("names").struct.field(name) for name in ("first", "last", "key"))
    rows = rows.with_columns(
        first_name=first,
        last_name=last,
        name_key=name_key,
        company_key=pl.col("firm").struct.field("key"),
        slug=pl.col("profile").struct.field("slug"),
    ).with_columns(
        is_member_id(pl.col("slug")).alias("opaque"),
        *(
            (pl.col("name_key").is_not_null() & is_role_mailbox(pl.col(f"mailbox_{nth}"))).alias(
                f"shared_{nth}"
            )
            for nth in addresses
        ),
    )
    in_table_order = [f"address_{nth}" for nth in sorted(addresses, key=places.__getitem__)]
    sent = {
        "email": pl.coalesce(in_table_order) if in_table_order else pl.lit(None, pl.String),
        "linkedin_url": pl.col("profile").struct.field("url"),
        "company": pl.col("firm").struct.field("name"),
    }
    mailboxes = [(pl.col(f"mailbox_{nth}"), pl.col(f"shared_{nth}")) for nth in addresses]
    whole_name = pl.col("first_name").is_not_null() & pl.col("last_name").is_not_null()
    return rows.select(
        *(sent.get(field, pl.col(field)).alias(field) for field in LEAD_FIELDS),
        pl.when(~pl.col("opaque")).then("slug").alias("key_linkedin"),
        pl.when("opaque").then("slug").alias("key_member"),
        *(
            pl.when(~shared).then(mailbox).alias(f"key_email_{nth}")
            for nth, (mailbox, shared) in enumerate(mailboxes)
        ),
        *(
            pl.concat_str(pl.when(shared).then(mailbox), "name_key", separator=SEPARATOR).alias(
                f"key_mailbox_{nth}"
            )
            for nth, (mailbox, shared) in enumerate(mailboxes)
        ),
        pl.when(whole_name & pl.col("name_key").str.contains(" ", literal=True))
        .then(pl.concat_str("name_key", "company_key", separator=SEPARATOR))
        .alias("key_name"),
    )
