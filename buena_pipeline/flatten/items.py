"""The items of the vendor's ``enriched`` list, out of JSON texts: structs of texts, each in its place.

Bad content never raises: what does not fit is null, on its own row only.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from polars._typing import PolarsDataType

PERSON_TEXTS: Final = {
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
COMPANY_TEXTS: Final = {
    "company_name": "name",
    "company_website": "website",
    "company_industry": "industry",
    "company_size": "size",
    "company_description": "description",
    "company_founded": "founded",
    "company_headquarters": "headquarters",
}
LISTS: Final = {"alternative_emails": "alternativeEmails", "skills": "skills"}

# Every leaf is text: polars then takes a number or a boolean as well, which the vendor's contract asks for.
_LIST: Final = pl.List(pl.String)
_DATA: Final = pl.Struct(
    {
        **dict.fromkeys(PERSON_TEXTS.values(), pl.String),
        **dict.fromkeys(LISTS.values(), _LIST),
        "companyInfo": pl.Struct(dict.fromkeys(COMPANY_TEXTS.values(), pl.String)),
        "socialProfiles": pl.Map(pl.String, pl.String),
    }
)
ITEM: Final = pl.Struct({"enrichedData": _DATA, "confidence": pl.String, "sources": _LIST})
_NUMBERED: Final = pl.Struct({"at": pl.Int64, "item": ITEM})

_SLICE: Final = 2048  # bodies parsed at once: bounds the parser's memory; in larger pieces it is slower
_FEW: Final = 64  # among so few it costs less to mend all than to look for the one that needs it

# NUL, which no database likes, and halves of surrogate pairs, which polars would read as NUL.
_DOUBTFUL_ESCAPE: Final = r"\\u(?:0000|[dD][89a-fA-F])"


def read_items(bodies: pl.Series | Sequence[str | None]) -> pl.Series:
    """Reads the bodies.

    Args:
        bodies: JSON texts as they came, one item each; null where there is none.

    Returns:
        A Series of ``ITEM``, in step with the bodies. What is missing, of the wrong shape or not JSON is
        null. A number is taken for a text and the other way round, a lone value for a list, the first of a
        list for a lone value.
    """
    texts = _as_texts(bodies)
    parts = [_decode(texts.slice(start, _SLICE)) for start in range(0, len(texts), _SLICE)]
    return pl.concat([pl.Series("item", [], dtype=ITEM), *parts])


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
    """The bodies as ``ITEM``; only where one does not fit, halves until it stands among few."""
    decoded = _decode_strictly(texts)
    if decoded is None and len(texts) > _FEW:
        half = len(texts) // 2
        return pl.concat([_decode(texts.head(half)), _decode(texts.slice(half))])
    if decoded is None:
        decoded = _decode_strictly(_mend(texts))
    return pl.Series([None] * len(texts), dtype=ITEM) if decoded is None else decoded


def _decode_strictly(texts: pl.Series) -> pl.Series | None:
    """The bodies as ``ITEM``, or None if one of them is no JSON or of another shape.

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
    """The bodies written anew so that they fit ``ITEM``: the slow way, for the few that do not."""
    return pl.Series([None if text is None else _mended(text) for text in texts], dtype=pl.String)


def _mended(text: str) -> str:
    """One body written anew with what can be used of it."""
    try:
        item = json.loads(text, strict=False, parse_int=_parse_int)
    except (ValueError, RecursionError):
        return "null"
    return _well_formed(json.dumps(_fit(item, ITEM), ensure_ascii=False))


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
