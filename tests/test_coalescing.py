"""Who works for whom when many ask at once, and that nobody waits for somebody who is gone."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from buena_pipeline.coalescing import Coalescing
from tests.torture.processes import wait_until

ROOT = Path(__file__).parent.parent


class Workshop:
    """Work that can be held up: what was asked for in which turn, and a gate before the answers."""

    def __init__(self) -> None:
        self.turns: list[list[int]] = []
        self.gate = threading.Event()
        self.trouble: BaseException | None = None

    def square(self, asks: list[int]) -> list[int]:
        """The squares, once the gate is open."""
        self.turns.append(asks)
        assert self.gate.wait(10)
        trouble, self.trouble = self.trouble, None
        if trouble is not None:
            raise trouble
        return [ask * ask for ask in asks]


@pytest.fixture
def workshop() -> Workshop:
    """A workshop whose gate is closed."""
    return Workshop()


@contextmanager
def asking(square: Coalescing[int, int], *asks: int) -> Iterator[list[Future[int]]]:
    """Threads that ask, one after the other, and their answers; all of them wait when the block begins."""
    with ThreadPoolExecutor(len(asks)) as pool:
        futures = []
        for ask in asks:
            before = waiting(square)
            futures.append(pool.submit(square, ask, ask))
            wait_until(lambda before=before: waiting(square) > before)
        yield futures


def waiting(square: Coalescing[int, int]) -> int:
    """How many callers there are."""
    with square._lock:
        cases = [
            *square._waiting.values(),
            *square._begun.values(),
            *(case for caller in square._leaders for case in caller.turn),
        ]
        return sum(len(case.callers) for case in {id(case): case for case in cases}.values())


def test_those_who_come_during_a_turn_share_the_next_one(workshop: Workshop) -> None:
    """The first one starts alone, at once."""
    square = Coalescing(workshop.square, most=50)
    with asking(square, 1, 2, 3, 4) as answers:
        workshop.gate.set()
    assert [answer.result() for answer in answers] == [1, 4, 9, 16]
    assert workshop.turns == [[1], [2, 3, 4]]
    assert waiting(square) == 0


def test_a_turn_holds_so_many_asks_at_most(workshop: Workshop) -> None:
    """Those who came first come first."""
    square = Coalescing(workshop.square, most=2)
    with asking(square, 1, 2, 3, 4) as answers:
        workshop.gate.set()
    assert [answer.result() for answer in answers] == [1, 4, 9, 16]
    assert workshop.turns == [[1], [2, 3], [4]]


def test_there_are_so_many_turns_at_the_same_time(workshop: Workshop) -> None:
    """The third caller waits for the first turn that ends."""
    square = Coalescing(workshop.square, most=50, turns=2)
    with asking(square, 1, 2, 3) as answers:
        wait_until(lambda: len(workshop.turns) == 2)
        workshop.gate.set()
    assert [answer.result() for answer in answers] == [1, 4, 9]
    assert sorted(workshop.turns) == [[1], [2], [3]]


@pytest.mark.parametrize(("joins_late", "turns"), [(False, [[7], [7]]), (True, [[7]])])
def test_who_asks_the_same_asks_once(workshop: Workshop, joins_late: bool, turns: list[list[int]]) -> None:
    """In a turn that has begun only where its answer is still good enough."""
    square = Coalescing(workshop.square, most=50, joins_late=joins_late)
    with asking(square, 7, 7, 7) as answers:
        workshop.gate.set()
    assert [answer.result() for answer in answers] == [49, 49, 49]
    assert workshop.turns == turns


def test_an_error_reaches_everybody_it_is_about_and_nobody_else(workshop: Workshop) -> None:
    """The next turn is a new try."""
    square = Coalescing(workshop.square, most=50, joins_late=True)
    workshop.trouble = ValueError("no")
    with asking(square, 1, 1, 1) as answers:
        workshop.gate.set()
    assert [type(answer.exception()) for answer in answers] == [ValueError] * 3
    assert square(1, 1) == 1
    assert waiting(square) == 0


def test_too_few_answers_are_an_error_and_no_end_of_waiting(workshop: Workshop) -> None:
    """A mistake of whoever wrote the work."""
    square = Coalescing[int, int](lambda asks: [], most=50)
    with pytest.raises(ValueError, match="argument"):
        square(1, 1)
    assert waiting(square) == 0


@pytest.mark.parametrize("joins_late", [False, True])
def test_an_interrupt_hits_only_whose_turn_it_is(workshop: Workshop, joins_late: bool) -> None:
    """Those who waited for it go on, with what it had not done."""
    square = Coalescing(workshop.square, most=50, joins_late=joins_late)
    workshop.trouble = KeyboardInterrupt()
    with asking(square, 1, 1, 2) as answers:
        workshop.gate.set()
    assert isinstance(answers[0].exception(), KeyboardInterrupt)
    assert [answer.result() for answer in answers[1:]] == [1, 4]
    assert workshop.turns == [[1], [1, 2]]


def interrupted(call: Callable[[], object], *, when: Callable[[], bool]) -> None:
    """Runs something in this thread, and strikes with Ctrl-C as soon as something is so."""
    main = threading.get_ident()

    def strike() -> None:
        wait_until(when)
        signal.pthread_kill(main, signal.SIGINT)

    with ThreadPoolExecutor(1) as pool:
        struck = pool.submit(strike)
        with pytest.raises(KeyboardInterrupt):
            call()
        struck.result()


def test_who_waits_and_is_interrupted_is_not_worked_for(workshop: Workshop) -> None:
    """A real SIGINT in the main thread, which waits for the turn of another one."""
    square = Coalescing(workshop.square, most=50)
    with asking(square, 1) as answers:
        interrupted(lambda: square(2, 2), when=lambda: waiting(square) == 2)
        assert waiting(square) == 1
        workshop.gate.set()
    assert answers[0].result() == 1
    assert workshop.turns == [[1]]


def test_who_works_and_is_interrupted_leaves_the_work_to_the_others(workshop: Workshop) -> None:
    """A real SIGINT in the main thread, for which two others wait."""
    square = Coalescing(workshop.square, most=50, joins_late=True)
    with ThreadPoolExecutor(2) as pool:

        def follow() -> bool:
            if len(followers) == 2:
                return waiting(square) == 3
            if waiting(square) > len(followers):
                followers.append(pool.submit(square, 1, 1))
            return False

        followers: list[Future[int]] = []
        interrupted(lambda: square(1, 1), when=follow)
        workshop.gate.set()
        assert [follower.result(10) for follower in followers] == [1, 1]
    assert workshop.turns == [[1], [1]]
    assert waiting(square) == 0


AT_EVERY_LINE = """
import signal, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
import buena_pipeline.coalescing as coalescing

pool = ThreadPoolExecutor(2)
followers = []


def waiting():
    return sum(len(case.callers) for caller in list(square._leaders) for case in caller.turn)


def work(asks):
    if threading.current_thread() is threading.main_thread() and not followers:
        followers.append(pool.submit(square, 1, 1))
        followers.append(pool.submit(square, 2, 2))
        while waiting() < 2 or not square._waiting:
            time.sleep(0.0005)
    return [ask * ask for ask in asks]


square = coalescing.Coalescing(work, most=50, joins_late=True)
left, at = 0, ""


def trace(frame, event, _):
    global left, at
    if frame.f_code.co_filename != coalescing.__file__:
        return None
    if event == "line":
        left -= 1
        if left == 0:
            at = frame.f_lineno
            signal.raise_signal(signal.SIGINT)
    return trace


first = strikes = heard = 0
while True:
    first += 1
    left, at = first, ""
    followers.clear()
    try:
        sys.settrace(trace)
        square(1, 1)
        sys.settrace(None)
    except KeyboardInterrupt:
        heard += 1
    sys.settrace(None)
    if not at:
        break
    strikes += 1
    assert [follower.result(10) for follower in followers] in ([], [1, 4]), at
    assert pool.submit(square, 3, 3).result(10) == 9, at
    assert not (square._waiting or square._begun or square._leaders), at
print(strikes, heard)
"""


def test_wherever_ctrl_c_strikes_nobody_is_left_waiting() -> None:
    """At every line that the main thread runs here, while two others wait for it."""
    told = subprocess.run(
        [sys.executable, "-c", AT_EVERY_LINE],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
        cwd=ROOT,
    )
    assert told.returncode == 0, told.stderr
    strikes, heard = map(int, told.stdout.split())
    assert strikes == heard > 30
