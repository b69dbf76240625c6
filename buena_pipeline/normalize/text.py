"""Text that says something, and how the other normalisations are put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import polars as pl

# Without the forms that are names: "na" and "NAN" say nothing, but "Na", "Nan" and "Nil" are people.
_PLACEHOLDERS: Final = frozenset(
    {"na", "NA", "nan", "NaN", "NAN", "nil", "NIL", "n/a", "N/A", "n.a.", "N.A.", "#n/a", "#N/A", "xx", "XX"}
    | {
        form
        for text in (
            *(
                "none",
                "null",
                "<null>",
                "(null)",
                "#ref!",
                "#value!",
                "#name?",
                "undefined",
                "unknown",
                "[unknown]",
            ),
            *(
                "(unknown)",
                "blank",
                "(blank)",
                "empty",
                "(empty)",
                "not available",
                "not applicable",
                "xxx",
                "tbd",
            ),
            *("not provided", "not specified", "not set", "no value", "tba"),
        )
        for form in (text, text.upper(), text.capitalize(), text.title())
    }
)


# Nothing to clean: begins with a letter or digit, no runs of white space, nothing beyond ASCII
_CLEAN = "^[A-Za-z0-9][!-~]*(?: [!-~]+)*$"


def clean_text(expr: pl.Expr) -> pl.Expr:
    """Text as a person meant to write it; null where it only says that nothing is known.

    Args:
        expr: one column of text, or of anything that can be cast to text.

    Returns:
        String, as long as the input: trimmed, white space collapsed, invisible characters removed; null for
        placeholders (``n/a``, ``none``, ``-``, ``unknown`` ...) and for text without any letter or digit.

    Example:
        >>> names = pl.DataFrame({"name": [" Jane  Ann ", "N/A", "--", None, "Na"]})
        >>> names.select(clean_text(pl.col("name"))).to_series().to_list()
        ['Jane Ann', None, None, None, 'Na']
    """
    return staged(
        expr.cast(pl.String),
        lambda text: where(~text.str.contains(_CLEAN), text, _cleaned),
        lambda text: pl.when(~text.is_in(_PLACEHOLDERS)).then(text),
    )


def staged(value: pl.Expr, *stages: Callable[[pl.Expr], pl.Expr]) -> pl.Expr:
    """Put ``value`` through one stage after the other, each of them computed once.

    A stage mentions its input several times, so plain nesting would multiply the whole expression at every
    stage. A field of a struct is computed once and then only referred to.

    Args:
        value: an expression of one column.
        stages: functions from an expression to an expression.

    Returns:
        What comes out of the last stage, under the name of ``value``.

    Example:
        >>> pl.select(staged(pl.lit(3).alias("n"), lambda n: n * n, lambda n: n * n))["n"].item()
        81
    """
    scope = pl.struct(value=value)
    for stage in stages:
        scope = scope.struct.with_fields(value=stage(pl.field("value")))
    return scope.struct.field("value").alias(output_name(value))


def where(rows: pl.Expr, value: pl.Expr, change: Callable[[pl.Expr], pl.Expr]) -> pl.Expr:
    """Change a text column in some rows only, at a cost in proportion to these.

    Args:
        rows: Boolean, the rows to change.
        value: String, the column.
        change: a row-wise function from a String expression to a String expression.

    Returns:
        ``change(value)`` in these rows, ``value`` in all others, under the name of ``value``.

    Example:
        >>> words = pl.DataFrame({"word": ["a", "bb", None]})
        >>> word = pl.col("word")
        >>> words.select(where(word == "a", word, lambda some: some + "!")).to_series().to_list()
        ['a!', 'bb', None]
    """
    scope = pl.struct(value=value, rows=rows)
    changed = if_present(pl.when(pl.field("rows")).then(pl.field("value")), change)
    merged = pl.when(pl.field("rows")).then(changed).otherwise(pl.field("value"))
    return scope.struct.with_fields(value=merged).struct.field("value").alias(output_name(value))


def if_present(
    value: pl.Expr, change: Callable[[pl.Expr], pl.Expr], dtype: pl.DataType | type[pl.DataType] = pl.String
) -> pl.Expr:
    """Compute something for the rows that are not null, without spending anything on the others.

    Polars builds text anew for every row of a column, null or not, and evaluates both branches of a
    condition: where few rows need much work, setting them apart is many times cheaper.

    Args:
        value: the column, null where there is nothing to do.
        change: a row-wise function from an expression to an expression.
        dtype: of the result.

    Returns:
        ``change(value)``, null where ``value`` is null.

    Example:
        >>> words = pl.DataFrame({"word": ["a", None]})
        >>> words.select(if_present(pl.col("word"), lambda some: some + "!")).to_series().to_list()
        ['a!', None]
    """

    def changed(texts: pl.Series) -> pl.Series:
        present = texts.is_not_null()
        if not present.any():
            return pl.Series(texts.name, [None], dtype=dtype).new_from_index(0, len(texts))
        some = pl.DataFrame({"value": texts.filter(present)}).select(value=change(pl.col("value")))["value"]
        if len(some) == len(texts):
            return some
        return some.gather(pl.select(pl.when(present).then(present.cum_sum() - 1)).to_series())

    return value.map_batches(changed, return_dtype=dtype, is_elementwise=True)


def each_distinct(value: pl.Expr, function: Callable[[str], str | None]) -> pl.Expr:
    """Replace each distinct text of a column: for the few rows that need what polars does not have.

    Args:
        value: String.
        function: from a text to a text, or to None where there is none.

    Returns:
        String, as long as the input.

    Example:
        >>> words = pl.DataFrame({"word": ["a", None, "a"]})
        >>> words.select(each_distinct(pl.col("word"), str.swapcase)).to_series().to_list()
        ['A', None, 'A']
    """

    def replaced(texts: pl.Series) -> pl.Series:
        distinct = texts.drop_nulls().unique()
        new = pl.Series([function(text) for text in distinct], dtype=pl.String)
        return (
            texts.replace_strict(distinct, new, default=None, return_dtype=pl.String) if len(new) else texts
        )

    return value.map_batches(replaced, return_dtype=pl.String, is_elementwise=True)


def not_ascii(value: pl.Expr) -> pl.Expr:
    """Where text has characters beyond ASCII; Boolean."""
    return value.str.len_bytes() != value.str.len_chars()


def output_name(value: pl.Expr) -> str:
    """The name an expression's column will have, or ``value`` where that is not known yet."""
    return value.meta.output_name(raise_if_undetermined=False) or "value"


def _cleaned(text: pl.Expr) -> pl.Expr:
    """Text without invisible characters (joiners stay, some scripts need them) and needless white space."""
    visible = text.str.replace_all(r"[\u00ad\u200b\u2060\ufeff]", "")
    spaced = visible.str.replace_all(r"\s+", " ").str.strip_chars(" ")
    return staged(spaced, lambda tidy: pl.when(tidy.str.contains(r"[\p{L}\p{N}]")).then(tidy))
