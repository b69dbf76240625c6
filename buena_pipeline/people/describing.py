"""The lead to send for each person: the rows and the number of each row's person in, one row per person out.

Rule 5 of "Identity" in the design stands here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from buena_pipeline.people.keys import ADDRESSES, NOBODY, Keys, key_columns, people_with, slots
from buena_pipeline.schema import LEAD_FIELDS, PEOPLE

if TYPE_CHECKING:
    from collections.abc import Collection

    from buena_pipeline.people.keys import Mask, Rows


def describe_people(
    identified: pl.DataFrame, person: pl.Series, *, misleading: pl.Series | None = None
) -> pl.DataFrame:
    """Choose the lead to send for each person: the most complete information of its rows.

    The e-mail is the first personal address, else the first role mailbox. First and last name come from one
    row, the one with the fullest names (``Taylor`` beats ``T.``). Profile and company are the first there
    are; a member id is sent where there is no profile. An e-mail that leads to several people is left out for
    a person with either, because the vendor might answer with somebody else.

    Args:
        identified: the rows, with the columns ``schema.LEAD_FIELDS`` and ``key_*``.
        person: what ``group_people`` said of them.
        misleading: rows with an address that several people have; found among the rows if None.

    Returns:
        A frame of ``schema.PEOPLE``: one row per person, in the order of their numbers.

    Example:
        >>> from buena_pipeline.people import group_people
        >>> rows = pl.DataFrame(
        ...     {
        ...         "email": ["j@acme.example", "j@acme.example"],
        ...         "first_name": ["Jane", "Jane"],
        ...         "last_name": ["T.", "Taylor"],
        ...         "key_email_0": ["j@acme.example", "j@acme.example"],
        ...     }
        ... )
        >>> describe_people(rows, group_people(rows)).select("email", "last_name", "rows").rows()
        [('j@acme.example', 'Taylor', 2)]
    """
    number, people = slots(person)
    missing = [field for field in LEAD_FIELDS if field not in identified.columns]
    leads = identified.with_columns(pl.lit(None, pl.String).alias(field) for field in missing)
    shared = _shared_addresses(identified, number) if misleading is None else misleading.to_numpy()
    profiled = people_with(identified, ("linkedin", "member"), number, people)[number]
    apart = pl.lit(pl.Series(shared & profiled))
    ranks = {
        "email": pl.when(~apart).then(_rank_of_email(identified.columns)),
        "linkedin_url": _rank_of_profile(identified.columns),
        "first_name": _rank_of_names(),
        "last_name": _rank_of_names(),
        "company": _rank_of_present("company"),
    }
    chosen = {field: _best_of(leads, field, rank, number, people) for field, rank in ranks.items()}
    rows = np.bincount(number, minlength=people + 1)[:people]
    return pl.DataFrame({"person": range(people), **chosen, "rows": rows}).select(
        pl.col(name).cast(dtype) for name, dtype in PEOPLE.items()
    )


def _shared_addresses(identified: pl.DataFrame, number: Rows) -> Mask:
    """Rows with an address that leads to other people as well."""
    mask = np.zeros(identified.height, dtype=np.bool_)
    for keys in (Keys.of(identified, kind) for kind in ADDRESSES):
        several = keys.least(number) != keys.most(number)
        mask[keys.rows[keys.spread(several)]] = True
    return mask


def _best_of(leads: pl.DataFrame, field: str, rank: pl.Expr, number: Rows, people: int) -> pl.Series:
    """The field in the first row of the highest rank of each person; null where no rank is above 0."""
    ranks = leads.select(rank.fill_null(0).cast(pl.UInt16)).to_series().to_numpy()
    rows = np.flatnonzero(ranks)[::-1]
    rows = rows[np.argsort(ranks[rows], kind="stable")]
    best = np.full(people + 1, NOBODY)
    best[number[rows]] = rows  # of several writes to one place the last one stays
    return leads[field].gather(pl.Series(best[:people]).replace(int(NOBODY), None))


def _rank_of_present(field: str) -> pl.Expr:
    """1 where there is something."""
    return pl.col(field).is_not_null()


def _rank_of_profile(columns: Collection[str]) -> pl.Expr:
    """2 where there is a profile with a name, 1 where there is a member id."""
    rank = pl.when(_is_filled("key_member", columns)).then(1).otherwise(2)
    return pl.when(pl.col("linkedin_url").is_not_null()).then(rank)


def _rank_of_email(columns: Collection[str]) -> pl.Expr:
    """2 where the e-mail, which is the first address of its row, is a personal one, else 1."""
    firsts = [
        pl.when(pl.col(email).is_not_null()).then(2).when(_is_filled(mailbox, columns)).then(1)
        for email in key_columns(columns, ("email",))
        for mailbox in [email.replace("email", "mailbox")]
    ]
    return pl.when(pl.col("email").is_not_null()).then(pl.coalesce(*firsts, 1))


def _is_filled(name: str, columns: Collection[str]) -> pl.Expr:
    """Whether a column, if there is one of that name, has a value."""
    return pl.col(name).is_not_null() if name in columns else pl.lit(value=False)


def _rank_of_names() -> pl.Expr:
    """The higher the fuller: both names before one, an unabridged last name, then first name, then length."""
    first, last = pl.col("first_name").fill_null(""), pl.col("last_name").fill_null("")
    length = (first.str.len_chars() + last.str.len_chars()).clip(0, 999)
    is_pair = (first != "") & (last != "")
    tier = pl.when(is_pair).then(1 + 2 * _is_unabridged(last) + _is_unabridged(first)).otherwise(0)
    return 1000 * tier + length


def _is_unabridged(name: pl.Expr) -> pl.Expr:
    """1 for a name that is more than an initial."""
    return (name.str.replace_all(".", "", literal=True).str.len_chars() > 1).cast(pl.Int32)
