"""Which reasons may be shown where nobody may be recognised: a vendor's words of a lead could name them."""

from __future__ import annotations

from typing import Final

import polars as pl

from buena_pipeline.summary import NO_IDENTIFIER

OTHER: Final = "other reasons"
"""What is shown in place of those that may not be."""

_SHARED_BY: Final = 3
"""A vendor's reason is shown if so many people have it."""

_KNOWN: Final = ("not found", "Person not found", "no answer", "no answer for this lead", NO_IDENTIFIER)
"""Words of this library, and those of the vendor's documentation."""

_REMEMBERED: Final = r" \(asked on [0-9-]+, remembered\)$"

_VENDORS: Final = ("failed", "invalid")
"""Statuses whose reasons may be in the vendor's words."""


def is_common(reason: pl.Expr, people: pl.Expr) -> pl.Expr:
    """Whether a vendor's reason says nothing of who somebody is.

    Args:
        reason: why people are not found, or refused.
        people: how many different people have it.

    Example:
        >>> told = {"reason": ["Person not found", "Jane Doe has left", "closed"], "people": [1, 1, 3]}
        >>> common = is_common(pl.col("reason"), pl.col("people"))
        >>> pl.DataFrame(told).select(common).to_series().to_list()
        [True, False, True]
    """
    return _is_known(reason) | ((people >= _SHARED_BY) & ~reason.str.contains(r"@|://|www\.|\d{5}"))


def is_own(status: pl.Expr, reason: pl.Expr) -> pl.Expr:
    """Whether the reason of a row is in words of this library, or others that are known.

    Args:
        status: of the row.
        reason: its ``error``.

    Example:
        >>> rows = pl.DataFrame({"status": ["deferred", "failed"], "error": ["out of credits", "Jane left"]})
        >>> rows.select(is_own(pl.col("status"), pl.col("error"))).to_series().to_list()
        [True, False]
    """
    return ~status.cast(pl.String).is_in(_VENDORS) | _is_known(reason)


def _is_known(reason: pl.Expr) -> pl.Expr:
    return reason.str.replace(_REMEMBERED, "").is_in(_KNOWN)
