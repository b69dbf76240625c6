"""Scores enriched leads: a frame in, the same frame with ``schema.SCORED`` beside its columns out.

The default model is the vendor's own scoring example. Expressions only: a lazy frame stays lazy, and of its
data nothing is looked at before it is collected.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args

import polars as pl

from buena_pipeline.errors import ColumnError, InputError, SettingsError
from buena_pipeline.schema import DEFAULT_PREFIX, SCORE_PARTS, SCORED

if TYPE_CHECKING:
    import os

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)
TitleMatch = Literal["substring", "word"]

_TEXTS: Final = ("company_size", "title", "phone", "linkedin_url")
_SCORED_COLUMNS: Final = (*_TEXTS, "skills")
_TEXT_TYPES: Final = (pl.String, pl.Categorical, pl.Enum, pl.Null)
_ANSWERED: Final = ("enriched", "cached")


def _sizes(value: Any) -> tuple[tuple[str, float], ...]:
    """The points by company size as pairs."""
    try:
        sizes = dict(value)
    except (TypeError, ValueError):
        raise SettingsError(
            "company_sizes must map sizes to points, such as {'1000+': 10, '500-1000': 8}."
        ) from None
    for size, points in sizes.items():
        if not isinstance(size, str):
            raise SettingsError(f"company_sizes must have texts such as '1000+' as keys, not {size!r}.")
        _require_number(f"company_sizes[{size!r}]", points)
    return tuple(sizes.items())


def _words(name: str, value: Any) -> tuple[str, ...]:
    """The words in lower case."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise SettingsError(f"{name} must be a list of words, not {value!r}.")
    if bad := [word for word in value if not isinstance(word, str) or not word.strip()]:
        raise SettingsError(f"{name} must hold words that are not empty, not {bad[0]!r}.")
    return tuple(word.lower() for word in value)


def _require_number(name: str, value: Any) -> None:
    """Raise SettingsError unless the value is a finite number."""
    if not _is_number(value) or not math.isfinite(value):
        raise SettingsError(f"{name} must be a finite number, not {value!r}.")


def _is_number(value: Any) -> bool:
    """Whether the value is a number, which True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class ScoringModel:
    """What a lead is worth: the sum of five parts, capped. The defaults are the vendor's example.

    Args:
        company_sizes: points for the exact text of the company's size; any other size gives none. A mapping
            or pairs; kept as pairs, so that a model can be hashed.
        title_weight: points if the title contains any of ``title_words``.
        title_words: words looked for in the title; case makes no difference.
        title_match: ``"substring"`` finds a word anywhere (``cto`` in ``Director``, as the vendor's example
            does), ``"word"`` only as a whole word.
        skill_weight: points for every skill that contains any of ``skill_words``.
        skill_words: words looked for in each skill; case makes no difference.
        phone_weight: points if there is a phone number.
        linkedin_weight: points if there is a LinkedIn URL.
        cap: the most a score can be; the parts are not capped.

    Raises:
        SettingsError: if a weight is no finite number, the cap is negative or no number, a word is empty, or
            ``title_match`` is unknown.

    Example:
        >>> ScoringModel(title_words=["Founder"], cap=10).title_words
        ('founder',)

    Rests on the scoring example among the vendor's use cases.
    """

    company_sizes: Mapping[str, float] | Sequence[tuple[str, float]] = (
        ("1000+", 10),
        ("500-1000", 8),
        ("100-500", 6),
        ("50-100", 4),
        ("10-50", 2),
    )
    title_weight: float = 5
    title_words: Sequence[str] = ("ceo", "cto", "vp", "director", "head", "senior", "lead")
    title_match: TitleMatch = "substring"
    skill_weight: float = 2
    skill_words: Sequence[str] = ("python", "javascript", "aws", "machine learning", "api")
    phone_weight: float = 2
    linkedin_weight: float = 2
    cap: float = 25

    def __post_init__(self) -> None:
        object.__setattr__(self, "company_sizes", _sizes(self.company_sizes))
        for name in ("title_words", "skill_words"):
            object.__setattr__(self, name, _words(name, getattr(self, name)))
        for name in ("title_weight", "skill_weight", "phone_weight", "linkedin_weight"):
            _require_number(name, getattr(self, name))
        if not _is_number(self.cap) or not self.cap >= 0:
            raise SettingsError(f"cap must be a number from 0 up, not {self.cap!r}.")
        if self.title_match not in get_args(TitleMatch):
            raise SettingsError(
                f"title_match must be one of {', '.join(get_args(TitleMatch))}, not {self.title_match!r}."
            )

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> ScoringModel:
        r"""Read a model from a TOML file; what it does not name keeps its default.

        Args:
            path: a file with the arguments of this class as keys, ``company_sizes`` as a table.

        Raises:
            SettingsError: if the file cannot be read, is no TOML, or has an unknown key or a wrong value.

        Example:
            >>> import pathlib, tempfile
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     path = pathlib.Path(folder, "model.toml")
            ...     _ = path.write_text('cap = 50\n[company_sizes]\n"1000+" = 20\n')
            ...     model = ScoringModel.from_toml(path)
            >>> model.cap, model.company_sizes
            (50, (('1000+', 20),))
        """
        try:
            content = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise SettingsError(f"Cannot read the scoring model {path}: {error.strerror}.") from None
        except ValueError as error:  # no TOML, or not even UTF-8
            raise SettingsError(f"The scoring model {path} is not a TOML file in UTF-8: {error}") from None
        allowed = [field.name for field in fields(cls)]
        if unknown := sorted(set(content) - set(allowed)):
            raise SettingsError(
                f"The scoring model {path} has unknown keys: {', '.join(unknown)}. "
                f"It can have {', '.join(allowed)}."
            )
        try:
            return cls(**content)
        except SettingsError as error:
            raise SettingsError(f"The scoring model {path} cannot be used: {error}") from None


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
        InputError: if the frame is no polars frame.

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
    known = pl.any_horizontal(pl.col(prefix + column).is_not_null() for column in _SCORED_COLUMNS)
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
    if missing := tuple(prefix + name for name in _SCORED_COLUMNS if prefix + name not in schema):
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
