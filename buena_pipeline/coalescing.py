"""Many callers at once, few turns: whoever comes first does the work for all who wait by then.

There is no thread and no timer behind it. A caller who comes alone starts at once; those who come while all
turns are taken are worked for together in the next one, which one of them takes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from queue import SimpleQueue
from typing import Generic, TypeVar, cast

from buena_pipeline.store.signals import Watch

_Ask = TypeVar("_Ask")
_Answer = TypeVar("_Answer")


class Coalescing(Generic[_Ask, _Answer]):
    """Calls a function for many callers with all that they ask.

    Callers who ask the same get the same answer, or the same error. What a turn raises, all its callers get,
    unless it is no ``Exception``, such as Ctrl-C: that hits only whose turn it is, and the others go on.

    Args:
        work: from different asks to their answers, in step.
        most: asks in one turn at most.
        turns: turns at the same time at most.
        joins_late: whether a turn that has begun will do for a caller who asks the same.

    Example:
        >>> square = Coalescing[int, int](lambda asks: [ask * ask for ask in asks], most=50)
        >>> square("seven", 7)
        49
    """

    def __init__(
        self,
        work: Callable[[list[_Ask]], Sequence[_Answer]],
        *,
        most: int,
        turns: int = 1,
        joins_late: bool = False,
    ) -> None:
        self._work = work
        self._most = most
        self._turns = turns
        self._joins_late = joins_late
        self._lock = threading.Lock()
        self._waiting: dict[Hashable, _Case[_Ask, _Answer]] = {}
        self._begun: dict[Hashable, _Case[_Ask, _Answer]] = {}
        self._leaders: set[_Caller[_Ask, _Answer]] = set()

    def __call__(self, key: Hashable, ask: _Ask) -> _Answer:
        """The answer to what one caller asks.

        Args:
            key: equal for those who ask the same.
            ask: what they ask.
        """
        caller = _Caller[_Ask, _Answer]()
        try:
            try:
                # signals are held back while anything changes that others see
                with Watch(), self._lock:
                    self._enter(caller, key, ask)
                while (outcome := caller.mailbox.get()) is None:
                    self._lead(caller)
            finally:
                with Watch(), self._lock:
                    self._leave(caller)
        finally:
            with Watch(), self._lock:
                self._leave(caller)  # if a signal struck before it was held back
        answer, error = outcome
        if error is not None:
            raise error
        return cast("_Answer", answer)

    def _enter(self, caller: _Caller[_Ask, _Answer], key: Hashable, ask: _Ask) -> None:
        """Makes somebody wait for an answer, together with those who ask the same."""
        case = self._waiting.get(key) or self._begun.get(key)
        if case is None:
            case = self._waiting[key] = _Case(key, ask)
        caller.case = case
        case.callers.append(caller)
        self._appoint()

    def _appoint(self) -> None:
        """Gives turns that are free to those who wait longest."""
        for caller in (caller for case in self._waiting.values() for caller in case.callers):
            if len(self._leaders) >= self._turns:
                return
            if caller not in self._leaders:
                self._leaders.add(caller)
                caller.mailbox.put(None)

    def _lead(self, leader: _Caller[_Ask, _Answer]) -> None:
        """Takes a turn: works for all who wait, unless somebody else has begun with the leader's own case."""
        with Watch(), self._lock:
            own = leader.case
            leader.turn = self._take() if own is not None and self._waiting.get(own.key) is own else []
        asks = [case.ask for case in leader.turn]
        outcomes = _outcomes(self._work, asks) if asks else []
        with Watch(), self._lock:
            for case, outcome in zip(leader.turn, outcomes, strict=True):
                self._begun.pop(case.key, None)
                for caller in case.callers:
                    caller.mailbox.put(outcome)
            leader.turn = []
            self._leaders.discard(leader)
            self._appoint()

    def _take(self) -> list[_Case[_Ask, _Answer]]:
        turn = [self._waiting.pop(key) for key in list(self._waiting)[: self._most]]
        if self._joins_late:
            self._begun |= {case.key: case for case in turn}
        return turn

    def _leave(self, caller: _Caller[_Ask, _Answer]) -> None:
        """Leaves nobody waiting for somebody who is gone, whether answered or not."""
        if caller.case is not None:
            caller.case.callers.remove(caller)
            if not caller.case.callers and self._waiting.get(caller.case.key) is caller.case:
                del self._waiting[caller.case.key]
            caller.case = None
        self._leaders.discard(caller)
        self._put_back(caller)
        self._appoint()

    def _put_back(self, caller: _Caller[_Ask, _Answer]) -> None:
        """What was not done in a turn waits again, before everything else."""
        unfinished, caller.turn = caller.turn, []
        again = {}
        for case in unfinished:
            self._begun.pop(case.key, None)
            if (later := self._waiting.pop(case.key, None)) is not None:
                case.callers += later.callers
                for other in later.callers:
                    other.case = case
            if case.callers:
                again[case.key] = case
        if again:
            self._waiting = again | self._waiting


class _Case(Generic[_Ask, _Answer]):
    """Something that is asked, and who asks it."""

    __slots__ = ("ask", "callers", "key")

    def __init__(self, key: Hashable, ask: _Ask) -> None:
        self.key = key
        self.ask = ask
        self.callers: list[_Caller[_Ask, _Answer]] = []


class _Caller(Generic[_Ask, _Answer]):
    """Somebody who waits.

    Attributes:
        mailbox: brings the outcome; before that None for each turn that is to be taken.
        case: what is asked.
        turn: the cases that this caller works for at the moment.
    """

    __slots__ = ("case", "mailbox", "turn")

    def __init__(self) -> None:
        self.mailbox: SimpleQueue[tuple[_Answer | None, Exception | None] | None] = SimpleQueue()
        self.case: _Case[_Ask, _Answer] | None = None
        self.turn: list[_Case[_Ask, _Answer]] = []


def _outcomes(
    work: Callable[[list[_Ask]], Sequence[_Answer]], asks: list[_Ask]
) -> list[tuple[_Answer | None, Exception | None]]:
    """What some work comes to, for each that asked: the answer, or the error."""
    try:
        answers = work(asks)
        return [(answer, None) for _, answer in zip(asks, answers, strict=True)]
    except Exception as error:  # noqa: BLE001 - raised where the answers are waited for
        return [(None, error)] * len(asks)
