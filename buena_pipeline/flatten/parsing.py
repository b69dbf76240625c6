"""Numbers and hosts out of the vendor's texts. Expressions only.

Most texts are written in the usual way, such as ``8 years`` or ``100-500``, which is read at little cost. The
patterns for all the others are dear, so only these go through them; both come to the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

import polars as pl

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

# What is usual: a subset of what the patterns above take.
_USUAL_YEARS: Final = r"^[0-9]{1,2}\+? years?$"
_USUAL_SIZE: Final = r"^[0-9]{1,9}(?:-[0-9]{1,9}|\+)?$"
_USUAL_YEAR: Final = r"^(?:1[0-9]{3}|20[0-9]{2}|2100)$"
_USUAL_SITE: Final = r"^(?:https?://)?(?:www\.)?(?:[a-z0-9_-]+\.)+[a-z][a-z0-9-]*/?$"


@dataclass(frozen=True, slots=True)
class _Reading:
    """How one column of texts is read.

    Attributes:
        source: the column.
        usual: whether a text is written in the usual way.
        quickly: what is read out of it then; anything otherwise.
        carefully: the same columns, out of any text.
    """

    source: str
    usual: pl.Expr
    quickly: list[pl.Expr]
    carefully: Callable[[pl.Expr], list[pl.Expr]]

    @property
    def mark(self) -> str:
        """The column that says whether a text is usual."""
        return f"_usual_{self.source}"


def read_quickly() -> list[pl.Expr]:
    """What is read out of usual texts, and marks that ``read_the_rest`` looks at."""
    return [expr for reading in _readings() for expr in (*reading.quickly, reading.usual.alias(reading.mark))]


def read_the_rest(read: pl.DataFrame) -> pl.DataFrame:
    """The frame with what stands in the texts that are not usual.

    Args:
        read: the columns of texts, and those of ``read_quickly``.
    """
    columns = {column.name: column for column in read}
    for reading in _readings():
        places = (~columns.pop(reading.mark)).arg_true()
        if len(places):
            texts = columns[reading.source].gather(places).to_frame("text")
            for values in texts.select(reading.carefully(pl.col("text"))):
                columns[values.name] = columns[values.name].scatter(places, values)
    return pl.DataFrame(columns)


@cache
def _readings() -> list[_Reading]:
    return [
        _Reading(
            "experience",
            pl.col("experience").str.contains(_USUAL_YEARS),
            [_usual_years(pl.col("experience")).alias("experience_years")],
            lambda text: [_experience_years(text).alias("experience_years")],
        ),
        _Reading(
            "company_size",
            pl.col("company_size").str.contains(_USUAL_SIZE),
            _usual_size(pl.col("company_size")),
            _size,
        ),
        _Reading(
            "company_founded",
            pl.col("company_founded").str.contains(_USUAL_YEAR),
            [pl.col("company_founded").cast(pl.Int16, strict=False).alias("company_year")],
            lambda text: [text.str.extract(_YEAR).cast(pl.Int16).alias("company_year")],
        ),
        _Reading(
            "company_website",
            _is_usual_site(pl.col("company_website").str.to_lowercase()),
            [_usual_host(pl.col("company_website").str.to_lowercase()).alias("company_domain")],
            lambda text: [_domain(text).alias("company_domain")],
        ),
    ]


# --- the usual way ---------------------------------------------------------------------------------------


def _usual_years(text: pl.Expr) -> pl.Expr:
    years = text.str.strip_chars_end(" +years").cast(pl.Int64, strict=False)
    return pl.when(years <= _MOST_YEARS).then(years)


def _usual_size(text: pl.Expr) -> list[pl.Expr]:
    ends = text.str.strip_suffix("+").str.split_exact("-", 1)
    first, second = (ends.struct.field(f"field_{nth}").cast(pl.Int64, strict=False) for nth in (0, 1))
    in_order = pl.coalesce(second, first).is_between(first, pl.Int32.max())
    last = pl.coalesce(second, pl.when(~text.str.ends_with("+")).then(first))
    return [
        pl.when(in_order).then(first).alias("company_size_min"),
        pl.when(in_order).then(last).alias("company_size_max"),
    ]


def _is_usual_site(text: pl.Expr) -> pl.Expr:
    # of "www.com" the first part is no prefix
    return text.str.contains(_USUAL_SITE) & _usual_host(text).str.contains(".", literal=True)


def _usual_host(text: pl.Expr) -> pl.Expr:
    for prefix in ("https://", "http://", "www."):
        text = text.str.strip_prefix(prefix)
    return text.str.strip_suffix("/")


# --- any way ---------------------------------------------------------------------------------------------


def _experience_years(expr: pl.Expr) -> pl.Expr:
    """Full years: the lower end of a range; months only where no years stand."""
    years, months, bare = (
        expr.str.extract(pattern).cast(pl.Int64, strict=False) for pattern in (_YEARS, _MONTHS, _BARE_YEARS)
    )
    total = pl.coalesce(years, months // 12, bare)
    return pl.when(total.is_between(0, _MOST_YEARS)).then(total)


def _size(text: pl.Expr) -> list[pl.Expr]:
    size = text.str.extract_groups(_SIZE)
    return [_size_min(size).alias("company_size_min"), _size_max(size).alias("company_size_max")]


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


def _domain(expr: pl.Expr) -> pl.Expr:
    """The host of a website in lower case, without ``www.``; null for an IP address or a text without one."""
    return expr.str.to_lowercase().str.extract(_HOST)
