"""What a lead is worth: weights and words of the score, checked when they are given, or read from a file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from buena_pipeline.errors import SettingsError

if TYPE_CHECKING:
    import os

TitleMatch = Literal["substring", "word"]


@dataclass(frozen=True, slots=True)
class ScoringModel:
    """What a lead is worth: the sum of five parts, capped. The defaults are the vendor's example.

    Args:
        company_sizes: points for the exact text of the company's size; any other gives none, by default also
            ``5,001-10,000`` and ``10k+``, which the vendor's example does not name. A mapping or pairs; kept
            as pairs, so that a model can be hashed.
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
        import tomllib

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


# --- checks ------------------------------------------------------------------------------------------------


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
