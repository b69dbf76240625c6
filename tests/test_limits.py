"""Rate limits: one limiter for everybody who shares a store, corrected by what the vendor says."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from buena_pipeline import BuenaClient, Enricher, EnrichmentProgress, EnrichmentStore, RateLimits, Sandbox
from buena_pipeline.sandbox import Fault


def addresses(count: int) -> pl.DataFrame:
    """So many leads, each with an address of its own."""
    return pl.DataFrame({"email": [f"person{number}@acme{number}.example" for number in range(count)]})


def test_processes_that_share_a_store_share_its_limits(tmp_path: Path) -> None:
    """What one sends the other counts; beyond the limit nothing is sent; the report says when to go on."""
    limits = RateLimits(minute=None, hour=3, day=None)
    reports = []
    with Sandbox(limits=None) as sandbox:
        for _ in range(2):
            with BuenaClient(sandbox.api_key, sandbox.url, limits=limits) as client:
                enricher = Enricher(client, EnrichmentStore(tmp_path / "buena.duckdb"), max_wait=1)
                reports.append(enricher.run(addresses(250)).report)
        assert sandbox.requests == 3
    first, second = reports
    assert (first.requests, second.requests) == (3, 0)
    for report in reports:
        assert report.deferred_reason == "the vendor's rate limit is used up"
        assert report.resume_at is not None
        assert timedelta(minutes=10) < report.resume_at - datetime.now(UTC) <= timedelta(hours=1)


def test_another_account_has_limits_of_its_own(tmp_path: Path) -> None:
    """Another key on the same store is not held back."""
    limits = RateLimits(minute=None, hour=2, day=None)
    with Sandbox(limits=None) as one, Sandbox(limits=None, seed=1) as other:
        for sandbox in (one, other):
            with BuenaClient(sandbox.api_key, sandbox.url, limits=limits) as client:
                store = EnrichmentStore(tmp_path / "buena.duckdb")
                Enricher(client, store, max_wait=0).run(addresses(250))
        assert one.requests == other.requests > 0


def test_the_headers_of_the_vendor_correct_the_limits(store: EnrichmentStore) -> None:
    """A plan with fewer requests than is usual: no request runs into a 429."""
    # a clock that stands still a moment after a full hour, so that no window ends during the test
    moment = time.time() // 3600 * 3600 + 1
    with (
        Sandbox(limits=RateLimits(minute=None, hour=8), now=lambda: moment + 3600) as sandbox,
        BuenaClient(sandbox.api_key, sandbox.url, concurrency=1) as client,
    ):
        report = Enricher(client, store, max_wait=1).run(addresses(1000)).report
        assert {entry["status"] for entry in sandbox.request_log()} == {200}
        assert 4 <= sandbox.requests <= 8
    assert report.deferred_reason == "the vendor's rate limit is used up"


@pytest.mark.parametrize("tell", ["body", "header", "date", "reset", "reset_time", "nothing"])
def test_every_way_a_429_tells_its_wait_is_understood(tell: str, store: EnrichmentStore) -> None:
    """The rest is deferred until then; nobody else sends meanwhile either."""
    with (
        Sandbox(limits=None) as sandbox,
        BuenaClient(sandbox.api_key, sandbox.url, concurrency=1) as client,
    ):
        sandbox.inject(Fault("rate_limited", wait=120, tell=tell))
        began = datetime.now(UTC)
        report = Enricher(client, store, max_wait=10).run(addresses(60)).report
        assert report.deferred == 60
        assert report.resume_at is not None
        wait = 60 if tell == "nothing" else 120
        assert timedelta(seconds=wait - 2) <= report.resume_at - began <= timedelta(seconds=wait + 20)
        again = Enricher(client, store, max_wait=10).run(addresses(60)).report
        assert (sandbox.requests, again.requests, again.deferred) == (1, 0, 60)
        assert abs(again.resume_at - report.resume_at) < timedelta(seconds=2)


def test_a_429_that_says_zero_is_not_asked_in_a_tight_loop(store: EnrichmentStore) -> None:
    """The waits double, and add up to max_wait."""
    with (
        Sandbox(limits=None) as sandbox,
        BuenaClient(sandbox.api_key, sandbox.url, concurrency=4) as client,
    ):
        sandbox.inject(Fault("rate_limited", wait=0, tell="body", times=None))
        report = Enricher(client, store, max_wait=1.5).run(addresses(500)).report
        assert report.deferred == 500
        assert sandbox.requests < 40


def test_progress_says_what_a_run_waits_for(store: EnrichmentStore) -> None:
    """A wait for the rate limit is told before it begins, with the time it ends."""
    seen: list[EnrichmentProgress] = []
    with (
        Sandbox(limits=None) as sandbox,
        BuenaClient(sandbox.api_key, sandbox.url, concurrency=1) as client,
    ):
        sandbox.inject(Fault("rate_limited", wait=1, tell="body"))
        Enricher(client, store, progress=seen.append).run(addresses(3))
    waits = [step.waiting_until for step in seen if step.waiting_until is not None]
    assert len(waits) == 1
    assert seen[-1].waiting_until is None


def test_a_process_that_waits_does_not_hold_the_store(store: EnrichmentStore) -> None:
    """While a run waits for its turn anybody may read and write."""
    seen: list[int] = []

    def look(step: EnrichmentProgress) -> None:
        if step.waiting_until is not None:
            reader = EnrichmentStore(store.path, lock_timeout=0.1)
            seen.append(reader.sql("select count(*) from request where state = 'in flight'").item())

    with (
        Sandbox(limits=None) as sandbox,
        BuenaClient(sandbox.api_key, sandbox.url, concurrency=1) as client,
    ):
        sandbox.inject(Fault("rate_limited", wait=1, tell="header"))
        Enricher(client, store, progress=look).run(addresses(3))
    assert seen == [1]
