"""LinkedIn profiles: which person a URL leads to, whatever way it is written."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, unquote

import polars as pl

from buena_pipeline.normalize.text import all_at_once, not_ascii, output_name, staged, where

_PREFIX: Final = "https://www.linkedin.com/in/"
_START = r"(?i)^(?:https?://)?(?:[a-z0-9-]+\.)*linkedin\.com(?-i:/in/)"
_PLAIN = "^[a-z0-9_-]+$"
_BOTH: Final = pl.Struct({"slug": pl.String, "url": pl.String})
_MARK: Final = "\x1f"  # says that what follows is a slug

_HOST = r"(?:https?:/*|//)?(?:[a-z0-9-]+\.)*linkedin\.com\.?(?::\d+)?/+"
_PROFILE = rf"(?i)^(?:{_HOST}|/?)(?:(?:mwlite|comm)/+)?(?:in|pub)/+"
# The public URLs of before 2015, /pub/name/a/b/c: today that is /in/name-cba with three digits for c and b
_OLD_PROFILE = r"(?i)(?:^|/)pub/+([^/?#\s]+)/+([0-9a-z]{1,3})/+([0-9a-z]{1,3})/+([0-9a-z]{1,3})(?:[/?#\s]|$)"
_BEHIND_SLUG = r"(?s)(?:\s*[/?#\r\n\t,;|<>()\x22'].*|\.+)$"
_NO_SLUG = r"[\s.@%<>()\[\]{}\\/?#&=:;,|\x22'\x00-\x1f\x7f]"
_NOBODYS: Final = ("", "me", "Me", "ME", "unknown", "Unknown", "UNKNOWN", "unavailable", "Unavailable")
_MEMBER_ID = "^AC[a-z]AA"  # an internal id instead of a chosen name: the site tells its cases apart
# Its slug: 39 characters, of which hardly ever none is a digit. "acmaas" is A. C. Maas.
_MEMBER_SLUG = "^ac[a-z]aa(?:[a-z_-]*[0-9]|.{25})"


def linkedin_slug(expr: pl.Expr) -> pl.Expr:
    """What names the person in the URL of a LinkedIn profile: equal for all ways to write that URL.

    Scheme, ``www.``, ``m.``, country subdomains, query, fragment, trailing slash, sub-pages, locale,
    percent-encoding and case make no difference, nor does the old ``/pub/`` form.

    Args:
        expr: one column of text. ``in/janedoe`` is a profile, a bare word is not: it may be anything.

    Returns:
        String, as long as the input; null for company pages, posts, sales URLs, other sites and anything
        else. Through ``linkedin_url`` a slug comes back as itself.

    Example:
        >>> urls = pl.DataFrame({"url": ["de.linkedin.com/in/Jane-Doe/?trk=x", "linkedin.com/company"]})
        >>> urls.select(linkedin_slug(pl.col("url"))).to_series().to_list()
        ['jane-doe', None]
    """
    return profile(expr).struct.field("slug").alias(output_name(expr))


def linkedin_url(expr: pl.Expr) -> pl.Expr:
    """The one URL to send for a LinkedIn profile.

    Args:
        expr: one column of text, see ``linkedin_slug``.

    Returns:
        String, as long as the input: ``https://www.linkedin.com/in/...`` in ASCII, null where
        ``linkedin_slug`` is null.

    Example:
        >>> urls = pl.DataFrame({"url": ["m.linkedin.com/in/J%c3%bcrgen", "in/janedoe", "janedoe"]})
        >>> urls.select(linkedin_url(pl.col("url"))).to_series().to_list()
        ['https://www.linkedin.com/in/j%C3%BCrgen', 'https://www.linkedin.com/in/janedoe', None]
    """
    return profile(expr).struct.field("url").alias(output_name(expr))


def is_member_id(slug: pl.Expr) -> pl.Expr:
    """Where a slug is no chosen name, but an internal id, as exports from Sales Navigator have it.

    One person has several, one for each product of LinkedIn's, and a profile with a name of its own besides.

    Args:
        slug: as ``linkedin_slug`` gives it.

    Returns:
        Boolean, null where the slug is.

    Example:
        >>> slugs = pl.DataFrame({"slug": ["acoaab1x2y3z", "jane-doe", "acmaas", None]})
        >>> slugs.select(is_member_id(pl.col("slug"))).to_series().to_list()
        [True, False, False, None]
    """
    return slug.str.contains(_MEMBER_SLUG)


def profile(expr: pl.Expr) -> pl.Expr:
    """What ``linkedin_slug`` and ``linkedin_url`` say: a Struct of the Strings ``slug`` and ``url``."""
    text, slug, url = (pl.field(name) for name in ("text", "slug", "url"))
    usual = text.str.starts_with(_PREFIX)
    plain = usual & slug.str.contains(_PLAIN) & ~slug.is_in(_NOBODYS)
    cell = pl.struct(text=expr.cast(pl.String))
    cell = cell.struct.with_fields(text=where(~usual, text, lambda some: some.str.replace(_START, _PREFIX)))
    cell = cell.struct.with_fields(url=text.str.strip_suffix("/"))
    cell = cell.struct.with_fields(slug=url.str.strip_prefix(_PREFIX))
    both = where(~plain, pl.struct(slug, url), _written_otherwise, given=text, dtype=_BOTH)
    return cell.struct.with_fields(both=both).struct.field("both").alias(output_name(expr))


def _written_otherwise(text: pl.Expr) -> pl.Expr:
    """Slugs and URLs out of any other text than the usual URL; null where it is no profile."""
    written, slug = pl.field("written"), pl.field("slug")
    both = pl.struct(written=_slug_as_written(text))
    both = both.struct.with_fields(slug=_one_case(written))
    named = pl.when(written.str.contains(_MEMBER_ID)).then(written).otherwise(slug)
    encoded = staged(
        named, lambda text: where(not_ascii(text), text, lambda some: all_at_once(some, _quoted))
    )
    return both.struct.with_fields(both=pl.struct(slug=slug, url=pl.lit(_PREFIX) + encoded)).struct.field(
        "both"
    )


def _one_case(written: pl.Expr) -> pl.Expr:
    """Slugs in lower case."""
    return staged(
        written.str.to_lowercase(),
        lambda text: where(not_ascii(text), text, lambda some: some.str.normalize("NFC")),
    )


def _slug_as_written(text: pl.Expr) -> pl.Expr:
    """Slugs as they were written, decoded."""
    return staged(
        text.str.strip_chars(" \t\r\n\xa0\ufeff\x1f<>()[]\"'"),
        lambda url: where(not_ascii(url), url, _visible),
        lambda url: where(url.str.contains("(?i)(?:^|/)pub/"), url, _modern),
        lambda url: url.str.replace(_PROFILE, _MARK),
        lambda url: pl.when(url.str.starts_with(_MARK)).then(url.str.strip_prefix(_MARK)),
        lambda slug: slug.str.replace(_BEHIND_SLUG, ""),
        lambda slug: where(
            slug.str.contains("%", literal=True), slug, lambda some: all_at_once(some, _decoded)
        ),
        # Composed before it is judged: what stands for a semicolon in Greek becomes one
        lambda slug: where(not_ascii(slug), slug, lambda some: _visible(some).str.normalize("NFC")),
        lambda slug: pl.when(~slug.str.contains(_NO_SLUG) & ~slug.is_in(_NOBODYS)).then(slug),
    )


def _visible(text: pl.Expr) -> pl.Expr:
    """Text without invisible characters."""
    return text.str.replace_all(r"\p{Cf}", "").str.strip_chars()


def _modern(text: pl.Expr) -> pl.Expr:
    """Old public URLs in today's form; null for the directory of names, which stood beside them."""
    part = text.str.extract_groups(_OLD_PROFILE).struct
    digits = part.field("4").str.zfill(3) + part.field("3").str.zfill(3) + part.field("2")
    new = pl.lit("in/") + part.field("1") + "-" + digits
    return pl.coalesce(new, pl.when(~text.str.contains("(?i)pub/+dir/")).then(text))


def _decoded(slug: str) -> str:
    """A slug without percent-encoding, however often it was encoded."""
    while (decoded := unquote(slug)) != slug:
        slug = decoded
    return slug


def _quoted(slug: str) -> str:
    """A slug with everything percent-encoded that is not ASCII."""
    return quote(slug, safe="/\n")
