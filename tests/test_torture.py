"""Runs that are killed at random moments: nobody is paid twice, nothing that was paid for is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture.killing import kill_rounds


@pytest.mark.parametrize("seed", range(5))
def test_kill_at_random_moments(seed: int, tmp_path: Path) -> None:
    """Five rounds of kill -9 over one store; by the vendor's count each answer was paid once."""
    outcome = kill_rounds(tmp_path, seed=seed, rounds=5)
    assert outcome.verdict.complaints == []
    assert outcome.killed > 0
    assert outcome.verdict.answered > 0
