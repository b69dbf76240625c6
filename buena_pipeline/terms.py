"""What a run may do with what it knows and how much it may spend: checked once, then only read."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from datetime import timedelta
from numbers import Integral, Real
from typing import Final

from buena_pipeline.errors import InputError

_LONGEST: Final = timedelta(days=36_500)

BEYOND_BUDGET: Final = "the budget max_credits reaches no further"
"""Why somebody is deferred whom the budget leaves out."""

BEYOND_THE_DAY: Final = "the budget daily_credits is used up for today"
"""Likewise, for the budget of all runs of a day."""

MAX_AGE: Final = timedelta(days=90)
RETRY_FAILED_AFTER: Final = timedelta(days=30)
MAX_WAIT: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms a run buys; made by ``Terms.of``.

    Attributes:
        max_age: how old a block may be; None for any age.
        retry_failed_after: how long a "not found" is remembered; None for ever.
        retry_unknown: whether people of unknown outcome are bought.
        max_credits: credits of one run; None for no limit.
        daily_credits: credits of the store on one day (UTC), all runs together; None for no limit.
        max_wait: seconds to wait for a rate limit.
    """

    max_age: timedelta | None
    retry_failed_after: timedelta | None
    retry_unknown: bool
    max_credits: float | None
    daily_credits: float | None
    max_wait: float

    @property
    def limited(self) -> bool:
        """Whether there is a budget at all."""
        return self.max_credits is not None or self.daily_credits is not None

    def credits_left(self, *, spent: float, today: float) -> tuple[float, str]:
        """What the budgets leave.

        Args:
            spent: credits of this run.
            today: credits of all runs of the day.

        Returns:
            Credits, and the reason for people whom they do not reach.

        Example:
            >>> Terms.of(max_credits=500, daily_credits=100).credits_left(spent=40, today=90)
            (10, 'the budget daily_credits is used up for today')
        """
        run = math.inf if self.max_credits is None else self.max_credits - spent
        day = math.inf if self.daily_credits is None else self.daily_credits - today
        return (run, BEYOND_BUDGET) if run <= day else (day, BEYOND_THE_DAY)

    def to_json(self) -> str:
        """What a run was allowed to buy again, for whoever examines its charges later.

        Example:
            >>> Terms.of(max_age=timedelta(days=30)).to_json()
            '{"max_age_days": 30.0}'
        """
        days = None if self.max_age is None else self.max_age / timedelta(days=1)
        return json.dumps({"max_age_days": days})

    def after(self, spent: float) -> Terms:
        """The terms for a further run within the same budget, of which so many credits are spent.

        Example:
            >>> Terms.of(max_credits=500).after(501).max_credits
            0.0
        """
        left = None if self.max_credits is None else max(self.max_credits - spent, 0.0)
        return replace(self, max_credits=left)

    def trusting(self, age: timedelta) -> Terms:
        """The same terms, but what is younger than an age is not bought again in any case.

        Example:
            >>> terms = Terms.of(max_age=timedelta(0), retry_failed_after=None).trusting(timedelta(hours=1))
            >>> terms.max_age, terms.retry_failed_after
            (datetime.timedelta(seconds=3600), None)
        """
        ages = (self.max_age, self.retry_failed_after)
        known, failed = (None if limit is None else max(limit, age) for limit in ages)
        return replace(self, max_age=known, retry_failed_after=failed)

    @classmethod
    def of(
        cls,
        *,
        max_age: object = MAX_AGE,
        retry_failed_after: object = RETRY_FAILED_AFTER,
        retry_unknown: bool = False,
        max_credits: object = None,
        daily_credits: object = None,
        max_wait: object = MAX_WAIT,
    ) -> Terms:
        """The terms that a user's arguments mean.

        Raises:
            InputError: if an argument makes no sense; names it.

        Example:
            >>> Terms.of(max_credits=500, max_wait=timedelta(minutes=1)).max_wait
            60.0
        """
        return cls(
            max_age=_duration("max_age", max_age),
            retry_failed_after=_duration("retry_failed_after", retry_failed_after),
            retry_unknown=_flag("retry_unknown", retry_unknown),
            max_credits=_budget("max_credits", max_credits),
            daily_credits=_budget("daily_credits", daily_credits),
            max_wait=_seconds("max_wait", max_wait),
        )


@dataclass(slots=True)
class Meter:
    """What runs that share a budget have spent together, with what lost answers may have cost."""

    spent: float = 0.0


def affordable(left: float, price: float) -> int:
    """How many leads so many credits pay for.

    Example:
        >>> affordable(10, 3), affordable(0.3, 0.1), affordable(-5, 1)
        (3, 3, 0)
    """
    # a price such as 0.1 is no round number to a computer
    return int(min(max(left / price + 1e-9, 0.0), 2**31))


def _budget(name: str, value: object) -> float | None:
    if value is None or value == math.inf:
        return None
    if isinstance(value, bool) or not isinstance(value, Real) or not float(value) >= 0:
        raise InputError(
            f"{name} takes a number of credits from 0 on, or None for no limit; not {value!r:.40}."
        )
    return int(value) if isinstance(value, Integral) else float(value)


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{name} takes True or False, not {value!r:.40}.")
    return value


def _seconds(name: str, value: object) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
        raise InputError(
            f"{name} takes a datetime.timedelta, or seconds as a number, from 0 on; not {value!r:.40}."
        )
    return min(float(seconds), _LONGEST.total_seconds())


def _duration(name: str, value: object) -> timedelta | None:
    if value is None:
        return None
    if isinstance(value, timedelta) and value > _LONGEST:
        return None  # older than any answer can be
    if not isinstance(value, timedelta) or value < timedelta(0):
        raise InputError(
            f"{name} takes a datetime.timedelta from 0 on, such as timedelta(days=90), or None for any age; "
            f"not {value!r:.40}."
        )
    return value
