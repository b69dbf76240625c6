"""Vendors that break: nobody is paid twice, nothing is lost, and what nobody can know is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture.breaking import SCENARIOS, break_runs


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_vendor_that_breaks(name: str, tmp_path: Path) -> None:
    """Two runs while it breaks and one when it is well again, compared with the vendor's own count."""
    scenario = SCENARIOS[name]
    broken = break_runs(tmp_path, scenario, seed=len(name))
    assert broken.complaints == []
    assert broken.injected > 0
    assert broken.verdicts[-1].answered > 0
    assert bool(broken.verdicts[-1].unknown) == scenario.doubt
