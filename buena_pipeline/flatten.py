"""Turns the vendor's raw items into typed columns: texts in, one frame of ``schema.RECORD`` out.

The dtypes never depend on the texts, and bad content never raises: what cannot be read is null, on its own
row only. Nothing is lost by that, because the raw text itself stays in the store.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from buena_pipeline.schema import RECORD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from polars._typing import PolarsDataType

_PERSON_TEXTS: Final = {
    "first_name": "firstName",
    "last_name": "lastName",
    "email": "email",
    "phone": "phone",
    "linkedin_url": "linkedinUrl",
    "company": "company",
    "title": "title",
    "location": "location",
    "experience": "experience",
    "bio": "bio",
}
_COMPANY_TEXTS: Final = {
    "company_name": "name",
    "company_website": "website",
    "company_industry": "industry",
    "company_size": "size",
    "company_description": "description",
    "company_founded": "founded",
    "company_headquarters": "headquarters",
}
_LISTS: Final = {"alternative_emails": "alternativeEmails", "skills": "skills"}
_NAMED_NETWORKS: Final = ("twitter", "github", "facebook")

# Every leaf is text: polars then takes a number or a boolean as well, which the vendor's contract asks for.
_LIST: Final = pl.List(pl.String)
_DATA: Final = pl.Struct(
    {
        **dict.fromkeys(_PERSON_TEXTS.values(), pl.String),
        **dict.fromkeys(_LISTS.values(), _LIST),
        "companyInfo": pl.Struct(dict.fromkeys(_COMPANY_TEXTS.values(), pl.String)),
        "socialProfiles": pl.Map(pl.String, pl.String),
    }
)
_ITEM: Final = pl.Struct({"enrichedData": _DATA, "confidence": pl.String, "sources": _LIST})
_NUMBERED: Final = pl.Struct({"at": pl.Int64, "item": _ITEM})

_SLICE: Final = 4096  # bodies parsed at once: bounds the parser's memory
_FEW: Final = 64  # among so few it costs less to mend all than to look for the one that needs it

# NUL, which no database likes, and halves of surrogate pairs, which polars would read as NUL.
_DOUBTFUL_ESCAPE: Final = r"\\u(?:0000|[dD][89a-fA-F])"

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
    texts = _as_texts(bodies)
    parts = [_decode(texts.slice(start, _SLICE)) for start in range(0, len(texts), _SLICE)]
    items = pl.concat([pl.Series("item", [], dtype=_ITEM), *parts]).to_frame("item")
    staged = items.select(_as_sent()).with_columns(_size=pl.col("company_size").str.extract_groups(_SIZE))
    return staged.with_columns(_parsed()).select(pl.col(name).cast(dtype) for name, dtype in RECORD.items())


def _as_sent() -> list[pl.Expr]:
    """The columns that an item has a field for, out of the column ``item``."""
    item = pl.col("item").struct
    data = item.field("enrichedData").struct
    company = data.field("companyInfo").struct
    return [
        _confidence(item.field("confidence")).alias("confidence"),
        _texts_of(item.field("sources")).alias("sources"),
        *(_text(data.field(wire)).alias(name) for name, wire in _PERSON_TEXTS.items()),
        *(_text(company.field(wire)).alias(name) for name, wire in _COMPANY_TEXTS.items()),
        *(_texts_of(data.field(wire)).alias(name) for name, wire in _LISTS.items()),
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


# --- texts into structs ----------------------------------------------------------------------------------


def _as_texts(bodies: pl.Series | Sequence[str | None]) -> pl.Series:
    """The bodies as a String column without anything that polars would misread."""
    if isinstance(bodies, pl.Series):
        texts = bodies.cast(pl.String)
    else:
        texts = pl.Series([None if body is None else _well_formed(body) for body in bodies], dtype=pl.String)
    doubtful = texts.str.contains(_DOUBTFUL_ESCAPE).fill_null(value=False)
    if not doubtful.any():
        return texts
    return texts.scatter(doubtful.arg_true(), _mend(texts.filter(doubtful)))


def _decode(texts: pl.Series) -> pl.Series:
    """The bodies as ``_ITEM``; only where one does not fit, halves until it stands among few."""
    decoded = _decode_strictly(texts)
    if decoded is None and len(texts) > _FEW:
        half = len(texts) // 2
        return pl.concat([_decode(texts.head(half)), _decode(texts.slice(half))])
    if decoded is None:
        decoded = _decode_strictly(_mend(texts))
    return pl.Series([None] * len(texts), dtype=_ITEM) if decoded is None else decoded


def _decode_strictly(texts: pl.Series) -> pl.Series | None:
    """The bodies as ``_ITEM``, or None if one of them is no JSON or of another shape.

    polars reads a column as one long JSON list, in which a stray comma would shift all later bodies to
    other people's rows. So each carries its position, and what comes back must be in place.
    """
    positions = pl.int_range(len(texts), dtype=pl.Int64, eager=True)
    numbered = pl.select(
        pl.concat_str(
            pl.lit('{"at":'),
            positions.cast(pl.String),
            pl.lit(',"item":'),
            texts.fill_null("null"),
            pl.lit("}"),
        )
    ).to_series()
    try:
        decoded = numbered.str.json_decode(_NUMBERED)
    except pl.exceptions.ComputeError:
        return None
    in_place = decoded.struct.field("at").equals(positions)
    return decoded.struct.field("item") if in_place else None


def _mend(texts: pl.Series) -> pl.Series:
    """The bodies written anew so that they fit ``_ITEM``: the slow way, for the few that do not."""
    return pl.Series([None if text is None else _mended(text) for text in texts], dtype=pl.String)


def _mended(text: str) -> str:
    """One body written anew with what can be used of it."""
    try:
        item = json.loads(text, strict=False, parse_int=_parse_int)
    except (ValueError, RecursionError):
        return "null"
    return _well_formed(json.dumps(_fit(item, _ITEM), ensure_ascii=False))


def _parse_int(digits: str) -> int | None:
    """An integer, or None where it is so long that Python refuses to read it."""
    return int(digits) if len(digits) <= 100 else None


def _fit(value: Any, dtype: PolarsDataType) -> Any:
    """What can be used of a JSON value where ``dtype`` is expected, else None."""
    match dtype:
        case pl.Struct():
            if isinstance(value, list):
                value = next((entry for entry in value if isinstance(entry, dict)), None)
            known: Mapping[str, Any] = value if isinstance(value, dict) else {}
            return {name: _fit(known.get(name), inner) for name, inner in dtype.to_schema().items()}
        case pl.Map():
            entries = value.items() if isinstance(value, dict) else ()
            return {_without_nul(key): _scalar(entry) for key, entry in entries}
        case pl.List():
            return [_scalar(entry) for entry in (value if isinstance(value, list) else [value])]
        case _:
            return _scalar(value)


def _scalar(value: Any) -> str | float | None:
    """A text, number or boolean as it is, the first one of a list, None for all else."""
    if isinstance(value, list):
        value = next((entry for entry in value if isinstance(entry, str | int | float)), None)
    if isinstance(value, str):
        return _without_nul(value)
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def _without_nul(text: str) -> str:
    """The text with every NUL character replaced."""
    return text.replace("\0", "\ufffd")


def _well_formed(text: str) -> str:
    """The text with every lone surrogate replaced, so that it can be written as UTF-8."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


# --- structs into values ---------------------------------------------------------------------------------


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
