"""The typed columns of ``schema.RECORD``: as sent, and parsed out of the vendor's texts. Expressions only."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import polars as pl

from buena_pipeline.flatten.items import COMPANY_TEXTS, LISTS, PERSON_TEXTS, read_items
from buena_pipeline.flatten.parsing import read_quickly, read_the_rest
from buena_pipeline.schema import RECORD

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAMED_NETWORKS: Final = ("twitter", "github", "facebook")

_PIECE: Final = 2048


def flatten(bodies: pl.Series | Sequence[str | None]) -> pl.DataFrame:
    """Reads items of the vendor's ``enriched`` list into typed columns.

    Args:
        bodies: JSON texts as they came, one item each: ``{"input": ..., "enrichedData": ...,
            "confidence": ..., "sources": ...}``. Null where there is none.

    Returns:
        A frame with the columns and dtypes of ``schema.RECORD``, one row per body in the same order. What
        is missing, blank, of the wrong shape or not JSON is null, and so are empty lists and a confidence
        outside 0 to 1. A number is taken for a text and the other way round, a lone value for a list, the
        first of a list for a lone value.

        ``experience_years`` counts full years (0 to 80), ``company_size_max`` is null for an open range
        such as ``1000+``, ``company_domain`` is the website's host without ``www.``, and
        ``social_profiles`` has every network that came, in the order sent.

    Example:
        >>> bodies = ['{"enrichedData": {"title": "CTO", "experience": "10+ years"}}', "<html>"]
        >>> flatten(bodies).select("title", "experience_years").rows()
        [('CTO', 10), (None, None)]

    Rests on ``EnrichResponse``, ``EnrichedData`` and ``CompanyInfo`` of ``POST /enrich``.
    """
    # in larger pieces it takes longer
    pieces = [_flatten(bodies[start : start + _PIECE]) for start in range(0, len(bodies), _PIECE)]
    return pl.concat([RECORD.to_frame(), *pieces])


def _flatten(bodies: pl.Series | Sequence[str | None]) -> pl.DataFrame:
    """The same for a few thousand bodies."""
    as_sent, there, parsed = _steps()
    record = (
        read_items(bodies).to_frame("item").lazy().select(as_sent).with_columns(there).with_columns(parsed)
    )
    # to look for a better way takes longer, for the few rows of a request, than to go this one
    read = record.collect(engine="in-memory", optimizations=pl.QueryOptFlags.none())
    return (
        read_the_rest(read).with_columns(company_founded="company_year").select(RECORD.names()).cast(RECORD)
    )


@cache
def _steps() -> tuple[list[pl.Expr], list[pl.Expr], list[pl.Expr]]:
    """What is made of an item, then of that, and then of that again: nothing is worked out twice."""
    named = [_profile_of(network).alias(f"social_{network}") for network in _NAMED_NETWORKS]
    return _as_sent(), _there(), [*named, *read_quickly()]


def _as_sent() -> list[pl.Expr]:
    """The columns that an item has a field for, out of the column ``item``; blank where nothing is left."""
    item = pl.col("item").struct
    data = item.field("enrichedData").struct
    company = data.field("companyInfo").struct
    return [
        _number(item.field("confidence")).alias("confidence"),
        _texts_of(item.field("sources")).alias("sources"),
        *(data.field(wire).str.strip_chars().alias(name) for name, wire in PERSON_TEXTS.items()),
        *(company.field(wire).str.strip_chars().alias(name) for name, wire in COMPANY_TEXTS.items()),
        *(_texts_of(data.field(wire)).alias(name) for name, wire in LISTS.items()),
        _profiles(data.field("socialProfiles")).alias("social_profiles"),
    ]


def _there() -> list[pl.Expr]:
    """The same columns, null where they are blank or no number from 0 to 1."""
    texts = [pl.col(name) for name in (*PERSON_TEXTS, *COMPANY_TEXTS)]
    lists = [pl.col(name) for name in ("sources", *LISTS, "social_profiles")]
    confidence = pl.col("confidence")
    return [
        pl.when(confidence.is_between(0, 1)).then(confidence),
        *(pl.when(text != "").then(text) for text in texts),
        *(pl.when(entries.list.len() > 0).then(entries) for entries in lists),
    ]


# --- texts into values -----------------------------------------------------------------------------------


def _text(expr: pl.Expr) -> pl.Expr:
    """Trimmed; null where nothing is left."""
    return expr.str.strip_chars().replace("", None)


def _texts_of(expr: pl.Expr) -> pl.Expr:
    """Every entry trimmed, blank ones dropped."""
    return expr.list.eval(_text(pl.element()).drop_nulls())


def _number(expr: pl.Expr) -> pl.Expr:
    return expr.str.strip_chars().cast(pl.Float64, strict=False)


def _profiles(by_network: pl.Expr) -> pl.Expr:
    """Network and URL of every profile that has both, in the order sent."""
    entry = pl.element()
    network, url = entry.struct.field("key"), entry.struct.field("value")
    named = pl.struct(_text(network.str.to_lowercase()).alias("network"), _text(url).alias("url"))
    complete = entry.struct.field("network").is_not_null() & entry.struct.field("url").is_not_null()
    return by_network.map.entries().list.eval(named).list.filter(complete)


def _profile_of(network: str) -> pl.Expr:
    """The URL of one network."""
    entry = pl.element().struct
    of_network = entry.field("url").filter(entry.field("network") == network)
    return pl.col("social_profiles").list.eval(of_network).list.first()
