"""Text that says something, and how the other normalisations are put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


# Nothing to clean: begins with a letter or digit, no runs of white space, nothing odd beyond ASCII
_CLEAN = r"^[\p{L}\p{N}][\p{L}\p{M}\p{N}!-~]*(?: [\p{L}\p{M}\p{N}!-~]+)*$"


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
        lambda text: pl.when(~says_nothing(text)).then(text),
    )


def says_nothing(text: pl.Expr) -> pl.Expr:
    """Where text, clean but for this, only says that nothing is known; Boolean."""
    return text.is_in(_PLACEHOLDERS)


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


def where(
    rows: pl.Expr,
    value: pl.Expr,
    change: Callable[[pl.Expr], pl.Expr],
    *,
    given: pl.Expr | None = None,
    dtype: pl.DataType | type[pl.DataType] = pl.String,
) -> pl.Expr:
    """Change a column in some rows only, at a cost in proportion to these.

    Polars evaluates both branches of a condition and builds the text of all rows anew. Taking the rows out
    and putting what becomes of them back into the column is many times cheaper.

    Args:
        rows: Boolean, the rows to change.
        value: the column; Strings, or a Struct of Strings.
        change: a row-wise function from an expression to an expression of the same dtype as ``value``.
        given: what ``change`` is called with; ``value`` unless given.
        dtype: of ``value``.

    Returns:
        ``change(given)`` in these rows, ``value`` in all others, under the name of ``value``.

    Example:
        >>> words = pl.DataFrame({"word": ["a", "bb", None]})
        >>> word = pl.col("word")
        >>> words.select(where(word == "a", word, lambda some: some + "!")).to_series().to_list()
        ['a!', 'bb', None]
    """

    def changed(columns: Sequence[pl.Series]) -> pl.Series:
        old, chosen, *source = columns
        places = chosen.arg_true()
        if places.is_empty():
            return old
        some = (source or [old])[0].gather(places).to_frame("value")
        return _put(some.select(change(pl.col("value"))).to_series(), old, places)

    columns = [value, rows] if given is None else [value, rows, given]
    merged = pl.map_batches(columns, changed, return_dtype=dtype, is_elementwise=True)
    return merged.alias(output_name(value))


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


def all_at_once(value: pl.Expr, function: Callable[[str], str]) -> pl.Expr:
    """Change the texts of a column by one call for all of them: faster by far than a call for each.

    Args:
        value: String without nulls.
        function: a change of text that leaves line breaks alone.

    Returns:
        String, as long as the input.

    Example:
        >>> words = pl.DataFrame({"word": ["a", "b"]})
        >>> words.select(all_at_once(pl.col("word"), str.upper)).to_series().to_list()
        ['A', 'B']
    """

    def changed(texts: pl.Series) -> pl.Series:
        new = function("\n".join(texts)).split("\n")
        if len(new) != len(texts):  # one of them holds a line break
            new = [function(text) for text in texts]
        return pl.Series(texts.name, new, dtype=pl.String)

    return value.map_batches(changed, return_dtype=pl.String, is_elementwise=True)


def not_ascii(value: pl.Expr) -> pl.Expr:
    """Where text has characters beyond ASCII; Boolean."""
    return value.str.len_bytes() != value.str.len_chars()


def output_name(value: pl.Expr) -> str:
    """The name an expression's column will have, or ``value`` where that is not known yet."""
    return value.meta.output_name(raise_if_undetermined=False) or "value"


def _put(new: pl.Series, old: pl.Series, places: pl.Series) -> pl.Series:
    """A column with new values in these places."""
    if isinstance(old.dtype, pl.Struct):
        names = [field.name for field in old.dtype.fields]
        fields = [_put(new.struct.field(name), old.struct.field(name), places) for name in names]
        return pl.DataFrame(fields).to_struct(old.name)
    return new.rename(old.name) if len(new) == len(old) else old.clone().scatter(places, new)


def _cleaned(text: pl.Expr) -> pl.Expr:
    """Text without invisible characters (joiners stay, some scripts need them) and needless white space."""
    visible = text.str.replace_all(r"[\u00ad\u200b\u2060\ufeff]", "")
    spaced = visible.str.replace_all(r"\s+", " ").str.strip_chars(" ")
    return staged(spaced, lambda tidy: pl.when(tidy.str.contains(r"[\p{L}\p{N}]")).then(tidy))
