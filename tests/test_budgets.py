"""What may be spent: per run, per day, at whatever a lead turns out to cost, and who comes first."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from buena_pipeline import BuenaClient, Enricher, EnrichmentStore, Sandbox, enrich_frame, plan_frame


def addresses(count: int, *, since: int = 0) -> pl.DataFrame:
    """So many leads, each with an address of its own."""
    numbers = range(since, since + count)
    return pl.DataFrame({"email": [f"person{number}@acme{number}.example" for number in numbers]})


@pytest.mark.parametrize(
    ("price", "budget", "bought"), [(5, 10, 2), (5, 12, 2), (0.1, 10, 100), (1, 30, 30), (3, 2, 0)]
)
def test_a_budget_is_kept_at_whatever_a_lead_costs(
    price: float, budget: float, bought: int, store: EnrichmentStore
) -> None:
    """Nobody knows the price before the first answer: one lead is asked for, then as many as it allows."""
    with (
        Sandbox(limits=None, not_found=0.0, credits_per_lead=price) as sandbox,
        BuenaClient(sandbox.api_key, sandbox.url, limits=None) as client,
    ):
        result = Enricher(client, store, max_credits=budget).run(addresses(150))
        # the first lead is the only way to learn that one costs more than the budget
        assert sandbox.credits_used == pytest.approx(max(bought, 1) * price)
        assert result.report.credits_used == pytest.approx(sandbox.credits_used)
        assert result.report.enriched == max(bought, 1)
        reasons = result.frame.filter(pl.col("buena_status") == "deferred")["buena_error"].unique().to_list()
        assert reasons == ["the budget max_credits reaches no further"]
        # the ledger knows the price now: a plan tells exactly who is bought
        plan = plan_frame(addresses(150, since=1000), store=store, max_credits=budget)
        assert (plan.to_buy, plan.max_credits) == (bought, pytest.approx(bought * price))
        planned = plan.decisions["decision"] == "buy"
        later = Enricher(client, store, max_credits=budget).run(addresses(150, since=1000))
        assert (later.frame["buena_status"] == "enriched").equals(planned)


def test_what_unknown_people_leave_of_a_budget_buys_those_who_are_next(store: EnrichmentStore) -> None:
    """Until it is used up, which is then the reason of all others; whoever comes first is asked for first."""
    leads = addresses(600).with_columns(worth=pl.int_range(pl.len()) * 7 % 600)
    with (
        Sandbox(limits=None, not_found=0.5) as sandbox,
        BuenaClient(sandbox.api_key, sandbox.url, limits=None) as client,
    ):
        result = Enricher(client, store, max_credits=60, priority=pl.col("worth")).run(leads)
        assert sandbox.credits_used == result.report.credits_used == 60
        assert set(sandbox.charges()["count"]) == {1}
    status = result.frame.sort("worth", descending=True)["buena_status"]
    asked = result.report.enriched + result.report.failed
    assert set(status[:asked]) == {"enriched", "failed"}
    assert set(status[asked:]) == {"deferred"}
    reasons = result.frame.filter(pl.col("buena_status") == "deferred")["buena_error"].unique().to_list()
    assert reasons == ["the budget max_credits reaches no further"]


def requested(sandbox: Sandbox) -> list[int]:
    """How many leads each request asked for."""
    return [entry["leads"] for entry in sandbox.request_log()]


def test_a_budget_that_bears_dear_leads_asks_for_many_at_once(store: EnrichmentStore) -> None:
    """Not found costs nothing and tells nothing, so as many are asked for as ten credits each would allow."""
    with (
        Sandbox(limits=None, not_found=1.0) as sandbox,
        BuenaClient(sandbox.api_key, sandbox.url, limits=None) as client,
    ):
        report = Enricher(client, store, max_credits=240).run(addresses(200)).report
        assert report.failed == 200
        assert requested(sandbox)[:3] == [24, 24, 2]  # a batch of 50 in three


def test_a_budget_is_kept_when_the_first_people_are_not_found(store: EnrichmentStore) -> None:
    """Nobody is found for long, and then a lead turns out to cost five credits."""
    nobody = dict.fromkeys(addresses(63)["email"])
    with (
        Sandbox(limits=None, not_found=0.0, credits_per_lead=5, people=nobody) as sandbox,
        BuenaClient(sandbox.api_key, sandbox.url, limits=None) as client,
    ):
        Enricher(client, store, max_credits=100).run(addresses(400))
        assert sandbox.credits_used == 100


def test_a_budget_is_kept_when_the_price_has_risen(tmp_path: Path, store: EnrichmentStore) -> None:
    """The ledger says one credit a lead; it costs five by now, as the first answer tells."""
    for price, since in ((1, 0), (5, 1000)):
        with (
            Sandbox(limits=None, not_found=0.0, credits_per_lead=price) as sandbox,
            BuenaClient(sandbox.api_key, sandbox.url, limits=None) as client,
        ):
            Enricher(client, store, max_credits=100).run(addresses(150, since=since))
            assert sandbox.credits_used == 100
    assert requested(sandbox)[0] == 10


def test_the_budget_of_a_day_is_for_all_runs_of_the_store(tmp_path: Path) -> None:
    """Two runs, two objects, one store: what one spends the other cannot; what is known stays free."""
    with (
        Sandbox(limits=None, not_found=0.0) as sandbox,
        BuenaClient(sandbox.api_key, sandbox.url, limits=None) as client,
    ):
        stores = [EnrichmentStore(tmp_path / "buena.duckdb") for _ in range(2)]
        first = Enricher(client, stores[0], daily_credits=70).run(addresses(60))
        assert first.report.enriched == 60
        assert plan_frame(addresses(60, since=60), store=stores[1], daily_credits=70).to_buy == 10
        second = Enricher(client, stores[1], daily_credits=70).run(addresses(120))
        assert (second.report.cached, second.report.enriched, second.report.deferred) == (60, 10, 50)
        assert second.report.deferred_reason == "the budget daily_credits is used up for today"
        third = Enricher(client, stores[0], daily_credits=70, max_credits=5).run(addresses(120))
        assert (third.report.requests, third.report.deferred) == (0, 50)
        assert sandbox.credits_used == 70


def test_the_plan_tells_row_by_row_what_the_run_then_does(store: EnrichmentStore) -> None:
    """Who is bought, served, remembered, left for the budget or invalid, with the reason."""
    table = pl.concat([addresses(6), addresses(2), pl.DataFrame({"email": ["n/a"]})]).with_columns(
        value=pl.int_range(9)
    )
    with (
        Sandbox(limits=None, not_found=0.0) as sandbox,
        BuenaClient(sandbox.api_key, sandbox.url, limits=None) as client,
    ):
        enrich_frame(addresses(3), client=client, store=store)
        plan = plan_frame(table, store=store, max_credits=2, priority=pl.col("value"))
        enriched = enrich_frame(table, client=client, store=store, max_credits=2, priority=pl.col("value"))
    decisions = ["cached"] * 3 + ["deferred", "buy", "buy", "cached", "cached", "invalid"]
    assert plan.decisions["decision"].to_list() == decisions
    assert enriched["buena_status"].to_list() == [
        {"buy": "enriched"}.get(decision, decision) for decision in decisions
    ]
    assert plan.decisions["person_id"].equals(enriched["buena_person_id"], check_names=False)
    assert plan.decisions["reason"].to_list() == enriched["buena_error"].to_list()
