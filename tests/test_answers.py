"""Rows of the table of answers (design, "Buying") that no other test runs to the end.

Whole runs against the sandbox: what became of every row, and what the sandbox says it has charged. The other
rows are in ``test_enrich`` ("what the vendor may answer"), and every way to tell a wait in ``test_limits``.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import httpx
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from buena_pipeline import BuenaClient, Enricher, EnrichmentProgress, EnrichmentStore, Sandbox, enrich_frame
from buena_pipeline.errors import VendorError
from buena_pipeline.interrupt import Interrupted
from buena_pipeline.sandbox import Fault
from tests.torture.breaking import StartsLate


@pytest.fixture
def sandbox() -> Sandbox:
    """A running sandbox that finds everybody."""
    with Sandbox(limits=None, not_found=0.0) as running:
        yield running


def addresses(count: int) -> pl.DataFrame:
    """So many leads, each with an address of its own."""
    return pl.DataFrame({"email": [f"person{number}@acme{number}.example" for number in range(count)]})


def statuses(frame: pl.DataFrame) -> list[str]:
    """The status of every row."""
    return frame["buena_status"].to_list()


def counts(sandbox: Sandbox) -> list[int]:
    """How often each person was charged, by the sandbox's own count."""
    return sandbox.charges()["count"].to_list()


# --- 200 -------------------------------------------------------------------------------------------------


def test_200_is_matched_by_the_echoed_input_and_never_by_position(
    sandbox: Sandbox, client: BuenaClient, tmp_path: Path
) -> None:
    """The sandbox answers in an order of its own: everybody gets what they get when asked for alone."""
    together = enrich_frame(addresses(12), client=client, store=tmp_path / "together.duckdb")
    alone = pl.concat(
        enrich_frame(addresses(12)[row], client=client, store=tmp_path / f"{row}.duckdb") for row in range(12)
    )
    assert [entry["leads"] for entry in sandbox.request_log()] == [12, *[1] * 12]
    assert statuses(together) == ["enriched"] * 12
    assert_frame_equal(together.drop("buena_enriched_at"), alone.drop("buena_enriched_at"))
    assert together["buena_email"].n_unique() > 1
    assert counts(sandbox) == [2] * 12  # once for each store


def test_200_that_leaves_out_a_lead_and_charges_nothing_is_asked_for_again(store: EnrichmentStore) -> None:
    """In neither list, and nothing was paid: ``failed`` for this run only."""
    with (
        Sandbox(limits=None, not_found=1.0) as sandbox,
        BuenaClient(sandbox.api_key, sandbox.url) as client,
    ):
        sandbox.inject(Fault("drop", lead="person1@acme1.example"))
        first = enrich_frame(addresses(2), client=client, store=store)
        second = Enricher(client, store).run(addresses(2))
        assert (sandbox.requests, counts(sandbox)) == (2, [])
    assert statuses(first) == statuses(second.frame) == ["failed", "failed"]
    assert first["buena_error"][1] == "no answer for this lead"
    assert (second.report.requests, second.report.failed_remembered) == (1, 1)


def test_200_with_fields_nobody_knows_keeps_their_text(store: EnrichmentStore) -> None:
    """A newer contract, which the sandbox does not speak: the rows are served, the rest is in the store."""
    paid: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        leads = json.loads(request.content)["leads"]
        paid.extend(lead["email"] for lead in leads)
        items = [{"input": lead, "enrichedData": {"title": "CTO"}} for lead in leads]
        data = {"enriched": items, "failed": [], "creditsUsed": len(items), "creditsExpire": "2031-01-01"}
        return httpx.Response(200, json={"success": True, "data": data, "notice": "prices change in May"})

    with BuenaClient("key", "http://vendor.example", httpx.MockTransport(answer)) as client:
        enriched = enrich_frame(addresses(2), client=client, store=store)
    assert statuses(enriched) == ["enriched", "enriched"]
    kept = store.sql("select body from response where person_id is null")["body"].item()
    assert json.loads(kept) == {"notice": '"prices change in May"', "data.creditsExpire": '"2031-01-01"'}
    assert sorted(paid) == addresses(2)["email"].to_list()


def test_an_answer_slower_than_the_timeout_is_unknown_and_not_bought_again(
    sandbox: Sandbox, store: EnrichmentStore
) -> None:
    """Charged, but nobody heard of it: deferred with the reason, in this run and the next."""
    sandbox.inject(Fault("latency", wait=600.0))
    with BuenaClient(sandbox.api_key, sandbox.url, timeout=1.0, backoff=0.01) as impatient:
        first = Enricher(impatient, store).run(addresses(2))
    with BuenaClient(sandbox.api_key, sandbox.url) as client:
        second = Enricher(client, store).run(addresses(3))
    reason = "perhaps charged, see the ledger: the vendor's answer did not come in time"
    assert statuses(first.frame) == ["deferred", "deferred"]
    assert first.frame["buena_error"].to_list() == [reason] * 2
    assert statuses(second.frame) == ["deferred", "deferred", "enriched"]
    assert (first.report.unknown, second.report.unknown) == (2, 2)
    assert counts(sandbox) == [1, 1, 1]
    assert sorted(store.ledger()["state"]) == ["answered", "unknown"]


# --- 400 -------------------------------------------------------------------------------------------------


def test_400_that_names_the_only_lead_sends_nothing_more(
    sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """Nobody is left of the batch, so there is no second request."""
    sandbox.inject(Fault("invalid_lead", index=0))
    enriched = enrich_frame(addresses(1), client=client, store=store)
    assert statuses(enriched) == ["invalid"]
    assert "identifier" in enriched["buena_error"].item()
    assert (sandbox.requests, counts(sandbox)) == (1, [])


def test_invalid_linkedin_url_that_names_no_url_is_halved(
    sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """The refused lead stands alone in the end; the others are bought once."""
    sandbox.inject(Fault("invalid_linkedin_url", lead="person2@acme2.example", times=None))
    enriched = enrich_frame(addresses(5), client=client, store=store)
    assert statuses(enriched) == ["enriched", "enriched", "invalid", "enriched", "enriched"]
    assert "LinkedIn" in enriched["buena_error"][2]
    assert counts(sandbox) == [1] * 4


def test_invalid_linkedin_url_of_nobody_in_the_request_is_halved(store: EnrichmentStore) -> None:
    """A vendor that writes the URL in its own way, which the sandbox does not: halved all the same."""
    paid: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        leads = json.loads(request.content)["leads"]
        if any(lead["email"] == "person2@acme2.example" for lead in leads):
            details = {"providedUrl": "https://linkedin.example/profile?id=17"}
            body = {
                "error": True,
                "code": "INVALID_LINKEDIN_URL",
                "message": "no profile",
                "details": details,
            }
            return httpx.Response(400, json=body)
        paid.extend(lead["email"] for lead in leads)
        items = [{"input": lead, "enrichedData": {"title": "CTO"}} for lead in leads]
        return httpx.Response(200, json={"data": {"enriched": items, "creditsUsed": len(items)}})

    with BuenaClient("key", "http://vendor.example", httpx.MockTransport(answer), concurrency=1) as client:
        enriched = enrich_frame(addresses(5), client=client, store=store)
    assert statuses(enriched) == ["enriched", "enriched", "invalid", "enriched", "enriched"]
    assert enriched["buena_error"][2] == "no profile"
    assert len(paid) == len(set(paid)) == 4


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refusal_by_a_proxy_that_goes_away_costs_nobody_anything(
    status: int, sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """An HTML page, or nothing, in place of the vendor's JSON: the same request again, then everybody."""
    sandbox.inject(Fault("status", status=status, times=2))
    enriched = enrich_frame(addresses(5), client=client, store=store)
    assert statuses(enriched) == ["enriched"] * 5
    assert [entry["leads"] for entry in sandbox.request_log()] == [5, 5, 5]
    assert counts(sandbox) == [1] * 5


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refusal_by_a_proxy_that_stays_defers_everybody_and_calls_nobody_invalid(
    status: int, sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """Three in a row, and the rest waits with a reason that says so; the next run buys all of them."""
    sandbox.inject(Fault("status", status=status, times=None))
    first = Enricher(client, store).run(addresses(60))
    assert statuses(first.frame) == ["deferred"] * 60
    reason = f"the vendor answered {status} with a body that is not its own"
    assert (first.report.deferred_reason, first.report.invalid) == (reason, 0)
    assert set(first.frame["buena_error"]) == {reason}
    assert {entry["leads"] for entry in sandbox.request_log()} <= {50, 10}  # nothing was halved
    assert set(store.ledger()["state"]) == {"failed"}
    assert counts(sandbox) == []
    sandbox.clear_faults()
    second = enrich_frame(addresses(60), client=client, store=store)
    assert statuses(second) == ["enriched"] * 60
    assert counts(sandbox) == [1] * 60


# --- 402 and 429 -----------------------------------------------------------------------------------------


def test_402_that_leaves_some_spends_them_and_defers_the_rest(store: EnrichmentStore) -> None:
    """Two credits for five leads: the first two rows, and not one credit more."""
    with (
        Sandbox(limits=None, not_found=0.0, credits=2) as sandbox,
        BuenaClient(sandbox.api_key, sandbox.url) as client,
    ):
        enriched = enrich_frame(addresses(5), client=client, store=store)
        assert (sandbox.credits, counts(sandbox)) == (0, [1, 1])
    assert statuses(enriched) == ["enriched"] * 2 + ["deferred"] * 3
    assert set(enriched["buena_error"][2:]) == {"the vendor's credits are used up"}


def test_402_that_leaves_none_defers_everybody_at_once(store: EnrichmentStore) -> None:
    """One request, no other try."""
    with (
        Sandbox(limits=None, credits=0) as sandbox,
        BuenaClient(sandbox.api_key, sandbox.url, concurrency=1) as client,
    ):
        result = Enricher(client, store).run(addresses(5))
        assert (sandbox.requests, counts(sandbox)) == (1, [])
    assert statuses(result.frame) == ["deferred"] * 5
    assert (result.report.deferred_reason, result.report.credits_remaining) == (
        "the vendor's credits are used up",
        0.0,
    )


@pytest.mark.parametrize("tell", ["body", "header", "date", "reset", "reset_time"])
def test_429_within_max_wait_is_waited_for_however_it_is_told(
    tell: str, sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """The same request again when the wait is over, and everybody is charged once."""
    waits: list[EnrichmentProgress] = []
    sandbox.inject(Fault("rate_limited", wait=0.2, tell=tell))
    enriched = enrich_frame(addresses(3), client=client, store=store, max_wait=60, progress=waits.append)
    assert statuses(enriched) == ["enriched"] * 3
    assert [entry["status"] for entry in sandbox.request_log()] == [429, 200]
    assert counts(sandbox) == [1] * 3


def test_two_signals_while_a_429_is_waited_for_lose_nothing(
    sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """Nothing is on its way then, so nobody is of unknown outcome; the next run buys everybody."""
    asked: list[int] = []

    def interrupt(step: EnrichmentProgress) -> None:
        if step.waiting_until is not None and not asked:
            for _ in range(2):
                asked.append(signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)

    sandbox.inject(Fault("rate_limited", wait=120, tell="body"))
    with pytest.raises(Interrupted) as caught:
        Enricher(client, store, progress=interrupt).run(addresses(3))
    report = caught.value.report
    assert (report.deferred, report.unknown, report.deferred_reason) == (3, 0, "the run was interrupted")
    assert (sandbox.requests, counts(sandbox)) == (1, [])
    assert store.ledger()["state"].to_list() == ["refused"]


# --- no answer at all ------------------------------------------------------------------------------------


def test_a_refused_connection_is_tried_again_until_the_vendor_is_up(
    sandbox: Sandbox, store: EnrichmentStore
) -> None:
    """Refused twice, then answered: everybody is served and charged once."""
    sandbox.stop()
    transport = StartsLate(sandbox, at=3)
    with BuenaClient(sandbox.api_key, sandbox.url, transport, backoff=0.01) as client:
        enriched = enrich_frame(addresses(3), client=client, store=store)
    assert statuses(enriched) == ["enriched"] * 3
    assert (transport.tries, counts(sandbox)) == (3, [1] * 3)


# --- somebody else's answer ------------------------------------------------------------------------------


def test_404_of_a_wrong_base_url_stops_the_run(sandbox: Sandbox, store: EnrichmentStore) -> None:
    """No other request would fare better: one clear error, and everybody can be bought when it is mended."""
    with (
        BuenaClient(sandbox.api_key, f"{sandbox.url}/nowhere") as lost,
        pytest.raises(VendorError, match=r"answered 404.*BUENA_BASE_URL.*Nothing was charged"),
    ):
        enrich_frame(addresses(3), client=lost, store=store)
    assert (sandbox.requests, counts(sandbox)) == (0, [])
    with BuenaClient(sandbox.api_key, sandbox.url) as client:
        assert statuses(enrich_frame(addresses(3), client=client, store=store)) == ["enriched"] * 3
