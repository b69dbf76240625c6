"""The typed columns of ``schema.RECORD``: as sent, and parsed out of the vendor's texts. Expressions only."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import polars as pl

from buena_pipeline.flatten.items import COMPANY_TEXTS, LISTS, PERSON_TEXTS, read_items
from buena_pipeline.schema import RECORD

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAMED_NETWORKS: Final = ("twitter", "github", "facebook")

_DECIMAL: Final = r"([0-9]+)(?:[.,][0-9]{1,2})?"
_UP_TO: Final = r"\s*\+?(?:\s*(?:-|–|—|to)\s*[0-9]+(?:[.,][0-9]{1,2})?)?\s*(?:\+|or more)?\s*"
_COUNT_OF: Final = rf"(?i)(?:^|[^0-9.,\-]){_DECIMAL}{_UP_TO}"
_YEARS: Final = rf"{_COUNT_OF}(?:y|yrs?|years?)\b"
_MONTHS: Final = rf"{_COUNT_OF}(?:mos?|months?)\b"
_BARE_YEARS: Final = rf"^{_DECIMAL}{_UP_TO}$"
_MOST_YEARS: Final = 80

_STAFF: Final = r"[0-9]{1,3}(?:[,.'’\s][0-9]{3}){1,3}|[0-9]{1,12}"
_SIZE: Final = (
    r"(?i)^(?:(?<below><|under|fewer than|less than|up to)|(?<above>>|over|more than)|~|about)?\s*"
    rf"(?<first>{_STAFF})(?:\.0+)?\s*(?<first_k>k)?\s*"
    rf"(?:(?:-|–|—|to)\s*(?<second>{_STAFF})\s*(?<second_k>k)?|(?<plus>\+|or more))?"
    r"\s*(?:employees|people)?$"
)
_YEAR: Final = r"\b(1[0-9]{3}|20[0-9]{2}|2100)\b"
_HOST: Final = (
    r"^(?:(?:[a-z][a-z0-9+.\-]*:)?//)?(?:[^\s/?#@]*@)?(?:www\.)?"
    r"((?:[\p{L}\p{M}\p{N}_-]+\.)+\p{L}[\p{L}\p{M}\p{N}-]*)\.?(?:[:/?#,;\s]|$)"
)


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
    items = read_items(bodies).to_frame("item").lazy()
    as_sent, size, parsed, cast = _steps()
    record = items.select(as_sent).with_columns(size).with_columns(parsed).select(cast)
    # to look for a better way takes longer, for the few rows of a request, than to go this one
    return record.collect(engine="in-memory", optimizations=pl.QueryOptFlags.none())


@cache
def _steps() -> tuple[list[pl.Expr], ...]:
    """What is made of an item, step by step."""
    size = pl.col("company_size").str.extract_groups(_SIZE).alias("_size")
    cast = [pl.col(name).cast(dtype) for name, dtype in RECORD.items()]
    return _as_sent(), [size], _parsed(), cast


def _as_sent() -> list[pl.Expr]:
    """The columns that an item has a field for, out of the column ``item``."""
    item = pl.col("item").struct
    data = item.field("enrichedData").struct
    company = data.field("companyInfo").struct
    return [
        _confidence(item.field("confidence")).alias("confidence"),
        _texts_of(item.field("sources")).alias("sources"),
        *(_text(data.field(wire)).alias(name) for name, wire in PERSON_TEXTS.items()),
        *(_text(company.field(wire)).alias(name) for name, wire in COMPANY_TEXTS.items()),
        *(_texts_of(data.field(wire)).alias(name) for name, wire in LISTS.items()),
        _profiles(data.field("socialProfiles")).alias("social_profiles"),
    ]


def _parsed() -> list[pl.Expr]:
    """The columns that are read out of the vendor's texts."""
    return [
        _experience_years(pl.col("experience")).alias("experience_years"),
        _size_min(pl.col("_size")).alias("company_size_min"),
        _size_max(pl.col("_size")).alias("company_size_max"),
        _founded(pl.col("company_founded")).alias("company_founded"),
        _domain(pl.col("company_website")).alias("company_domain"),
        *(_profile_of(network).alias(f"social_{network}") for network in _NAMED_NETWORKS),
    ]


# --- texts into values -----------------------------------------------------------------------------------


def _text(expr: pl.Expr) -> pl.Expr:
    """Trimmed; null where nothing is left."""
    return expr.str.strip_chars().replace("", None)


def _texts_of(expr: pl.Expr) -> pl.Expr:
    """Every entry trimmed, blank ones dropped; null where none is left."""
    return _filled(expr.list.eval(_text(pl.element()).drop_nulls()))


def _filled(expr: pl.Expr) -> pl.Expr:
    """Null for an empty list."""
    return pl.when(expr.list.len() > 0).then(expr)


def _confidence(expr: pl.Expr) -> pl.Expr:
    """A number from 0 to 1."""
    number = expr.str.strip_chars().cast(pl.Float64, strict=False)
    return pl.when(number.is_between(0, 1)).then(number)


def _experience_years(expr: pl.Expr) -> pl.Expr:
    """Full years: the lower end of a range; months only where no years stand."""
    years, months, bare = (
        expr.str.extract(pattern).cast(pl.Int64, strict=False) for pattern in (_YEARS, _MONTHS, _BARE_YEARS)
    )
    total = pl.coalesce(years, months // 12, bare)
    return pl.when(total.is_between(0, _MOST_YEARS)).then(total)


def _size_min(size: pl.Expr) -> pl.Expr:
    """The lower end of the range in the groups of ``_SIZE``; 0 where only the upper one is told."""
    told = size.struct.field("below").is_null()
    return pl.when(_is_range(size)).then(pl.when(told).then(_first(size)).otherwise(0))


def _size_max(size: pl.Expr) -> pl.Expr:
    """The upper end of the range in the groups of ``_SIZE``; null where it is open."""
    told = size.struct.field("above").is_null() & size.struct.field("plus").is_null()
    last = pl.coalesce(_second(size), pl.when(told).then(_first(size)))
    return pl.when(_is_range(size)).then(last)


def _is_range(size: pl.Expr) -> pl.Expr:
    """Whether the ends are in order and fit the column."""
    return pl.coalesce(_second(size), _first(size)).is_between(_first(size), pl.Int32.max())


def _first(size: pl.Expr) -> pl.Expr:
    """The first number; "1-5k" means thousands twice, "500-1k" does not."""
    count = _count(size.struct.field("first"))
    suffix, other = size.struct.field("first_k"), size.struct.field("second_k")
    thousands = suffix.is_not_null() | (other.is_not_null() & (count < _count(size.struct.field("second"))))
    return count * pl.when(thousands).then(1000).otherwise(1)


def _second(size: pl.Expr) -> pl.Expr:
    """The second number, if there is one."""
    thousands = size.struct.field("second_k").is_not_null()
    return _count(size.struct.field("second")) * pl.when(thousands).then(1000).otherwise(1)


def _count(expr: pl.Expr) -> pl.Expr:
    """The number that the digits make, whatever separates them."""
    return expr.str.replace_all("[^0-9]", "").cast(pl.Int64, strict=False)


def _founded(expr: pl.Expr) -> pl.Expr:
    """The first year between 1000 and 2100 that stands in the text."""
    return expr.str.extract(_YEAR).cast(pl.Int16)


def _domain(expr: pl.Expr) -> pl.Expr:
    """The host of a website in lower case, without ``www.``; null for an IP address or a text without one."""
    return expr.str.to_lowercase().str.extract(_HOST)


def _profiles(by_network: pl.Expr) -> pl.Expr:
    """Network and URL of every profile that has both, in the order sent."""
    entry = pl.element()
    network, url = entry.struct.field("key"), entry.struct.field("value")
    named = pl.struct(_text(network.str.to_lowercase()).alias("network"), _text(url).alias("url"))
    complete = entry.struct.field("network").is_not_null() & entry.struct.field("url").is_not_null()
    return _filled(by_network.map.entries().list.eval(named).list.filter(complete))


def _profile_of(network: str) -> pl.Expr:
    """The URL of one network."""
    entry = pl.element().struct
    of_network = entry.field("url").filter(entry.field("network") == network)
    return pl.col("social_profiles").list.eval(of_network).list.first()
