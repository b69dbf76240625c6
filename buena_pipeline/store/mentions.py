"""Which texts name a person: raw text of the vendor that could not be told whose it is.

Better one text too many than one too few: nothing in the library reads them again.
"""

from __future__ import annotations

import re
from typing import Final

import polars as pl

from buena_pipeline.normalize import email_key, is_role_mailbox, linkedin_slug, linkedin_url
from buena_pipeline.normalize.text import each_distinct, where

_ADDRESS: Final = r"[^\s\x22'<>()\[\]{},;:\\|=&?]+@[^\s\x22'<>()\[\]{},;:\\|=&?/]+"
_PROFILE: Final = r"linkedin\.com/+[^\s\x22'<>()\[\]{},;\\|]+"
_ESCAPED: Final = re.compile(r"\\+u(?!d[89a-f])([0-9a-f]{4})")
_DISTINCTIVE: Final = 6
"""Characters of a slug that is looked for also outside of a URL: shorter ones are in many a text."""


def plain(text: pl.Expr) -> pl.Expr:
    r"""Text in lower case, with the characters that JSON may escape, however often it was encoded.

    Args:
        text: String.

    Returns:
        String, as long as the input.

    Example:
        >>> texts = pl.DataFrame({"text": [r'{"Email": "Jane\u0040Acme.example", "in": "https:\/\/x"}']})
        >>> texts.select(plain(pl.col("text"))).item()
        '{"email": "jane@acme.example", "in": "https://x"}'
    """
    lower = text.str.to_lowercase().str.replace_all(r"\\+/", "/")
    return where(lower.str.contains(r"\u", literal=True), lower, lambda some: each_distinct(some, _unescaped))


def keys_in(texts: pl.DataFrame) -> pl.DataFrame:
    """The identity keys of the e-mail addresses and LinkedIn profiles that texts hold.

    Args:
        texts: ``source``, ``row`` and ``text``, the latter as ``plain`` gives it.

    Returns:
        ``source``, ``row``, ``kind`` and ``value``, in no order that means anything.

    Example:
        >>> texts = pl.DataFrame({"source": ["s"], "row": [7], "text": ["mailto:jane+x@acme.example, hello"]})
        >>> keys_in(texts).rows()
        [('s', 7, 'email', 'jane@acme.example')]
    """
    found = [
        texts.select("source", "row", pl.lit(kind).alias("kind"), pl.col("text").str.extract_all(pattern))
        .explode("text")
        .select("source", "row", "kind", normalised(pl.col("text")).alias("value"))
        for kind, pattern, normalised in (
            ("email", _ADDRESS, email_key),
            ("linkedin", _PROFILE, linkedin_slug),
        )
    ]
    return pl.concat(found).drop_nulls("value").unique()


def name_any(texts: pl.DataFrame, *, addresses: pl.Series, slugs: pl.Series) -> pl.DataFrame:
    """The texts that hold one of these addresses or slugs, whatever stands around it.

    Args:
        texts: ``source``, ``row`` and ``text``, the latter as ``plain`` gives it.
        addresses: e-mail addresses; role mailboxes such as ``sales@`` name nobody.
        slugs: of LinkedIn profiles; short ones count only in a URL, which ``keys_in`` finds.

    Returns:
        ``source`` and ``row`` of those texts.

    Example:
        >>> texts = pl.DataFrame({"source": ["s"] * 2, "row": [1, 2], "text": ["x=jane@acme.example&", "-"]})
        >>> name_any(texts, addresses=pl.Series(["Jane@acme.example"]), slugs=pl.Series(["jo"])).rows()
        [('s', 1)]
    """
    address = addresses.cast(pl.String).alias("value").to_frame()
    slug = slugs.cast(pl.String).alias("value").to_frame()
    quoted = linkedin_url(pl.lit("in/") + pl.col("value")).str.replace("^.*/in/", "")
    personal = pl.concat([address, address.select(email_key(pl.col("value")))])
    values = pl.concat(
        [
            personal.filter(~is_role_mailbox(pl.col("value").str.strip_chars())),
            pl.concat([slug, slug.select(quoted.alias("value"))]).filter(
                pl.col("value").str.len_chars() >= _DISTINCTIVE
            ),
        ]
    ).select(pl.col("value").str.strip_chars().str.to_lowercase())["value"]
    patterns = values.filter(values.str.len_chars() > 0).unique()
    if patterns.is_empty():
        return texts.clear().select("source", "row")
    return texts.filter(pl.col("text").str.contains_any(patterns.implode())).select("source", "row")


def _unescaped(text: str) -> str:
    r"""A text without ``\\uXXXX``; halves of surrogate pairs stay as they are."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text).lower()
