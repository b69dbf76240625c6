"""LinkedIn profiles: which person a URL leads to, whatever way it is written."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, unquote

import polars as pl

from buena_pipeline.normalize.text import each_distinct, if_present, not_ascii, output_name, staged, where

_PREFIX: Final = "https://www.linkedin.com/in/"
_PLAIN = r"(?i)^https?://(?:[a-z]{2,3}\.)?linkedin\.com(?-i:/in/)[a-z0-9_-]+/?$"
_MARK: Final = "\x1f"  # says that what follows is a slug

_HOST = r"(?:https?:/*|//)?(?:[a-z0-9-]+\.)*linkedin\.com\.?(?::\d+)?/+"
_PROFILE = rf"(?i)^(?:{_HOST}|/?)(?:(?:mwlite|comm)/+)?(?:in|pub)/+"
# The public URLs of before 2015, /pub/name/a/b/c: today that is /in/name-cba with three digits for c and b
_OLD_PROFILE = r"(?i)(?:^|/)pub/+([^/?#\s]+)/+([0-9a-z]{1,3})/+([0-9a-z]{1,3})/+([0-9a-z]{1,3})(?:[/?#\s]|$)"
_BEHIND_SLUG = r"(?s)(?:\s*[/?#\r\n\t,;|<>()\x22'].*|\.+)$"
_NO_SLUG = r"[\s.@%<>()\[\]{}\\/?#&=:;,|\x22'\x00-\x1f\x7f]"
_NOBODYS: Final = ("", "me", "Me", "ME", "unknown", "Unknown", "UNKNOWN", "unavailable", "Unavailable")
_MEMBER_ID = "^AC[a-z]AA"  # an internal id instead of a chosen name: the site tells its cases apart


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
    return slug_of(profile(expr)).alias(output_name(expr))


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
    both = pl.struct(profile=profile(expr)).struct.with_fields(slug=slug_of(pl.field("profile")))
    url = both.struct.with_fields(url=url_of(pl.field("profile"), pl.field("slug"))).struct.field("url")
    return url.alias(output_name(expr))


def profile(expr: pl.Expr) -> pl.Expr:
    """The slug as it was written, decoded, from which both slug and URL are made; String."""
    text, plain, rest = pl.field("text"), pl.field("plain"), pl.field("rest")
    cell = pl.struct(text=expr.cast(pl.String))
    cell = cell.struct.with_fields(plain=text.str.contains(_PLAIN))
    cell = cell.struct.with_fields(rest=if_present(pl.when(~plain).then(text), _written_otherwise))
    behind = text.str.slice(text.str.find("/in/", literal=True) + len("/in/")).str.strip_suffix("/")
    cell = cell.struct.with_fields(slug=pl.when(plain).then(behind).otherwise(rest))
    named = ~pl.field("slug").is_in(_NOBODYS)
    return cell.struct.with_fields(slug=pl.when(named).then(pl.field("slug"))).struct.field("slug")


def slug_of(written: pl.Expr) -> pl.Expr:
    """The slug of what ``profile`` gives; String."""
    return staged(
        written.str.to_lowercase(),
        lambda text: where(not_ascii(text), text, lambda some: some.str.normalize("NFC")),
    )


def url_of(written: pl.Expr, slug: pl.Expr) -> pl.Expr:
    """The URL of what ``profile`` and ``slug_of`` give; String."""
    named = pl.when(written.str.contains(_MEMBER_ID)).then(written).otherwise(slug)
    return pl.lit(_PREFIX) + staged(
        named, lambda text: where(not_ascii(text), text, lambda some: each_distinct(some, quote))
    )


def _written_otherwise(text: pl.Expr) -> pl.Expr:
    """Slugs out of any other text than the usual URL; null where it is no profile."""
    return staged(
        text.str.strip_chars(" \t\r\n\xa0\ufeff\x1f<>()[]\"'"),
        lambda url: where(not_ascii(url), url, _visible),
        lambda url: where(url.str.contains("(?i)(?:^|/)pub/"), url, _modern),
        lambda url: url.str.replace(_PROFILE, _MARK),
        lambda url: pl.when(url.str.starts_with(_MARK)).then(url.str.strip_prefix(_MARK)),
        lambda slug: slug.str.replace(_BEHIND_SLUG, ""),
        lambda slug: where(
            slug.str.contains("%", literal=True), slug, lambda some: each_distinct(some, _decoded)
        ),
        # Composed before it is judged: what stands for a semicolon in Greek becomes one
        lambda slug: where(not_ascii(slug), slug, lambda some: _visible(some).str.normalize("NFC")),
        lambda slug: pl.when(~slug.str.contains(_NO_SLUG)).then(slug),
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


def _decoded(slug: str) -> str | None:
    """A slug without percent-encoding, however often it was encoded."""
    while (decoded := unquote(slug)) != slug:
        slug = decoded
    return slug
