"""Scores enriched leads: a frame in, the same frame with ``schema.SCORED`` beside its columns out.

The default model is the vendor's own scoring example. Expressions only: a lazy frame stays lazy, and of its
data nothing is looked at before it is collected.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import polars as pl

from buena_pipeline.errors import ColumnError, InputError
from buena_pipeline.schema import DEFAULT_PREFIX, SCORE_PARTS, SCORED
from buena_pipeline.scoring_model import ScoringModel

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)

_TEXTS: Final = ("company_size", "title", "phone", "linkedin_url")
SCORED_COLUMNS: Final = (*_TEXTS, "skills")
"""What the score is made of, without the prefix."""
_TEXT_TYPES: Final = (pl.String, pl.Categorical, pl.Enum, pl.Null)
_ANSWERED: Final = ("enriched", "cached")

_DEFAULT_MODEL: Final = ScoringModel()


def score_frame(frame: Frame, *, model: ScoringModel = _DEFAULT_MODEL, prefix: str = DEFAULT_PREFIX) -> Frame:
    """Add a score and its parts to enriched leads.

    Args:
        frame: what ``enrich_frame`` returned, eager or lazy; or any frame with the columns ``company_size``,
            ``title``, ``phone``, ``linkedin_url`` (text) and ``skills`` (list of text), with the prefix.
        model: what a lead is worth.
        prefix: what the names of the enriched columns begin with; ``""`` for the store's view ``leads``.

    Returns:
        The same kind of frame with the same rows and, at the end, the Float64 columns of ``schema.SCORED``
        with the prefix: ``score``, then its parts. A part is 0 where nothing is known. The score is the
        capped sum; it is null on rows that the vendor never answered for: there is a column ``status``, it is
        neither ``enriched`` nor ``cached``, and none of the scored columns has a value.

    Raises:
        ColumnError: if a scored column is missing or of another type, or the frame has been scored already.
        InputError: if the frame is no polars frame, or the model no model.

    Example:
        >>> leads = pl.DataFrame(
        ...     {
        ...         "buena_company_size": ["100-500"],
        ...         "buena_title": ["Senior Software Engineer"],
        ...         "buena_skills": [["JavaScript", "React", "Python"]],
        ...         "buena_phone": ["+1-555-123-4567"],
        ...         "buena_linkedin_url": [None],
        ...     }
        ... )
        >>> score_frame(leads).select("buena_score", "buena_score_skills").rows()
        [(17.0, 4.0)]

    Rests on the scoring example among the vendor's use cases.
    """
    if not isinstance(frame, pl.DataFrame | pl.LazyFrame):
        raise InputError(
            f"score_frame takes a polars DataFrame or LazyFrame, not {type(frame).__name__}: "
            "turn other tables into one with pl.DataFrame(table)."
        )
    if not isinstance(model, ScoringModel):
        raise InputError(
            f"model takes a ScoringModel, such as ScoringModel.from_toml(path), not {type(model).__name__}."
        )
    schema = frame.collect_schema()
    _require_scorable(schema, prefix)
    added = [prefix + name for name in SCORED]
    with_parts = frame.with_columns(score_parts(model, prefix))
    total = score_total(model, prefix, has_status=f"{prefix}status" in schema)
    return with_parts.with_columns(total).select(*schema, *added)


def score_parts(model: ScoringModel, prefix: str = DEFAULT_PREFIX) -> list[pl.Expr]:
    """Expressions for the parts of the score, over the enriched columns.

    Args:
        model: what a lead is worth.
        prefix: what the names of the enriched columns begin with.

    Returns:
        One Float64 expression for each of ``schema.SCORE_PARTS``, in that order and named so with the prefix;
        0 where nothing is known, never null.

    Example:
        >>> [part.meta.output_name() for part in score_parts(ScoringModel(), prefix="")]
        ['score_company_size', 'score_title', 'score_skills', 'score_phone', 'score_linkedin']
    """
    size, title, phone, linkedin_url = (pl.col(prefix + name).cast(pl.String) for name in _TEXTS)
    skills = pl.col(f"{prefix}skills").cast(pl.List(pl.String))
    title_has = _has_word if model.title_match == "word" else _contains
    matching = skills.list.eval(_contains(pl.element(), model.skill_words)).list.sum()
    points = (
        size.replace_strict(dict(model.company_sizes), default=0, return_dtype=pl.Float64),
        title_has(title, model.title_words) * float(model.title_weight),
        matching * float(model.skill_weight),
        (phone != "") * float(model.phone_weight),
        (linkedin_url != "") * float(model.linkedin_weight),
    )
    return [
        part.fill_null(0).cast(pl.Float64).alias(prefix + name)
        for name, part in zip(SCORE_PARTS, points, strict=True)
    ]


def score_total(model: ScoringModel, prefix: str = DEFAULT_PREFIX, *, has_status: bool) -> pl.Expr:
    """Expression for the score, over its parts and the enriched columns.

    Args:
        model: what a lead is worth.
        prefix: what the names of the enriched columns begin with.
        has_status: whether there is a column ``status`` that tells unanswered rows.

    Returns:
        A Float64 expression named ``score`` with the prefix: the capped sum, null on unanswered rows.

    Example:
        >>> score_total(ScoringModel(), has_status=False).meta.output_name()
        'buena_score'
    """
    name = f"{prefix}score"
    total = pl.sum_horizontal(prefix + part for part in SCORE_PARTS).clip(upper_bound=model.cap)
    if not has_status:
        return total.alias(name)
    answered = pl.col(f"{prefix}status").cast(pl.String).is_in(_ANSWERED).fill_null(value=False)
    known = pl.any_horizontal(pl.col(prefix + column).is_not_null() for column in SCORED_COLUMNS)
    return pl.when(answered | known).then(total).alias(name)


def _contains(text: pl.Expr, words: Sequence[str]) -> pl.Expr:
    """Whether the text contains any of the words, in upper or lower case."""
    patterns = pl.lit(list(words), pl.List(pl.String))
    if all(word.isascii() for word in words):
        return text.str.contains_any(patterns, ascii_case_insensitive=True)
    return text.str.to_lowercase().str.contains_any(patterns)


def _has_word(text: pl.Expr, words: Sequence[str]) -> pl.Expr:
    """Whether any of the words stands in the text as a whole word, in upper or lower case."""
    if not words:
        return pl.lit(value=False)
    # Not \b, because a word may end in a sign, as "c++" does.
    any_word = "|".join(pl.escape_regex(word) for word in words)
    return text.str.to_lowercase().str.contains(rf"(?:^|\W)(?:{any_word})(?:\W|$)")


# --- checks ----------------------------------------------------------------------------------------------


def _require_scorable(schema: pl.Schema, prefix: str) -> None:
    """Raise ColumnError unless everything that is scored is there and nothing that is added."""
    if present := tuple(prefix + name for name in SCORED if prefix + name in schema):
        raise ColumnError(
            f"The frame has been scored already: it has {', '.join(present)}. "
            f"Drop them first, with frame.drop({', '.join(map(repr, present))}).",
            columns=present,
        )
    if missing := tuple(prefix + name for name in SCORED_COLUMNS if prefix + name not in schema):
        raise ColumnError(
            f"The frame cannot be scored without {', '.join(missing)}. Enrich it first with enrich_frame(), "
            f"or pass the prefix that it was enriched with (now {prefix!r}).",
            columns=missing,
        )
    expected = {
        **{prefix + name: "String" for name in _TEXTS if schema[prefix + name] not in _TEXT_TYPES},
        **({} if _is_list_of_texts(schema[f"{prefix}skills"]) else {f"{prefix}skills": "List(String)"}),
    }
    if expected:
        wrong = "; ".join(f"{name} is {schema[name]}, not {dtype}" for name, dtype in expected.items())
        raise ColumnError(
            f"The frame cannot be scored: {wrong}. Score what enrich_frame() returned, or cast the columns.",
            columns=tuple(expected),
        )


def _is_list_of_texts(dtype: pl.DataType) -> bool:
    """Whether a column of this type can be read as lists of text."""
    return dtype == pl.Null or (isinstance(dtype, pl.List) and dtype.inner in _TEXT_TYPES)
