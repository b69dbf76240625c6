"""Runs that are killed at random moments: nobody is paid twice, nothing that was paid for is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture.killing import Rounds, kill_rounds


def assert_kept(outcome: Rounds) -> None:
    """By the vendor's own count each answer was paid once, and everybody else who was charged is listed."""
    assert outcome.verdict.complaints == []
    assert outcome.killed > 0
    assert outcome.verdict.answered > 0


@pytest.mark.parametrize("seed", range(5))
def test_kill_at_random_moments(seed: int, tmp_path: Path) -> None:
    """Five rounds of kill -9 over one store."""
    assert_kept(kill_rounds(tmp_path, seed=seed, rounds=5))


def test_kill_while_the_vendor_breaks(tmp_path: Path) -> None:
    """Lost connections, broken answers and rate limits at the same time."""
    assert_kept(kill_rounds(tmp_path, seed=1, rounds=3, broken=True))


def test_kill_while_a_shell_holds_the_store(tmp_path: Path) -> None:
    """Answers are on their way to the journal, or from there into the store, when the process dies."""
    assert_kept(kill_rounds(tmp_path, seed=2, rounds=4, held=True))
