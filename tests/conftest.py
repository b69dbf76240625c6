"""What the tests share: a clean environment, a sandbox, a client and a store of one's own."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from buena_pipeline import BuenaClient, EnrichmentStore, Sandbox

settings.register_profile(
    "project", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("project")


_HANDLERS = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The tests of ``tests/ui`` need a browser: only who names the folder runs them."""
    asked = any("ui" in Path(argument).parts for argument in config.args)
    return True if collection_path.name == "ui" and not asked else None


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own key, URL or store never reaches a test."""
    for name in ("BUENA_API_KEY", "BUENA_BASE_URL", "BUENA_STORE", "BUENA_STORE_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """Dagster, used in a process, leaves SIGTERM a Ctrl-C: the next test's signal would end all tests."""
    yield
    for number, handler in _HANDLERS.items():
        signal.signal(number, handler)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox without rate limits."""
    with Sandbox(limits=None) as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[BuenaClient]:
    """A client of the sandbox that does not wait long between tries."""
    with BuenaClient(sandbox.api_key, sandbox.url, backoff=0.01) as ready:
        yield ready


@pytest.fixture
def store(tmp_path: Path) -> EnrichmentStore:
    """An empty store."""
    return EnrichmentStore(tmp_path / "buena.duckdb", lock_timeout=5)
