"""The whole way: a table in, the same rows out, and the sandbox's own count of what was paid."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from buena_pipeline import (
    BuenaClient,
    Enricher,
    EnrichmentOptions,
    EnrichmentProgress,
    EnrichmentStore,
    Sandbox,
    enrich_frame,
    plan_frame,
    score_frame,
)
from buena_pipeline.errors import (
    AuthenticationError,
    ColumnError,
    InputError,
    NotAStoreError,
    PermissionDeniedError,
    SettingsError,
    StoreDamagedError,
    StoreError,
    StoreLockedError,
)
from buena_pipeline.postings import Postings
from buena_pipeline.sandbox import Fault
from buena_pipeline.schema import BLOCK_OF, ENRICHED
from tests.torture.processes import wait_until

DATA = Path(__file__).parent / "data"
ROOT = Path(__file__).parent.parent


@pytest.fixture
def everybody() -> Sandbox:
    """A sandbox that finds everybody."""
    return Sandbox(limits=None, not_found=0.0)


def addresses(count: int) -> pl.DataFrame:
    """So many leads, each with an address of its own."""
    return pl.DataFrame({"email": [f"person{number}@acme{number}.example" for number in range(count)]})


def charged_once(sandbox: Sandbox) -> bool:
    """Whether nobody was charged twice, by the sandbox's own count."""
    return sandbox.charges()["count"].max() in (None, 1)


# --- the three promises ----------------------------------------------------------------------------------


def test_every_distinct_person_of_a_real_table_is_paid_once(everybody: Sandbox, tmp_path: Path) -> None:
    """Credits equal the number of accounts, no person spans two of them, and a second run costs nothing."""
    table = pl.read_csv(DATA / "leads-duplicates-1000.csv")
    accounts = table["Account Id"]
    with everybody as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        enricher = Enricher(client, tmp_path / "buena.duckdb")
        first = enricher.run(table.drop("Account Id"))
        assert sandbox.credits_used == accounts.n_unique() == first.report.credits_used
        assert charged_once(sandbox)
        again = enricher.run(table.drop("Account Id"))
        assert sandbox.credits_used == accounts.n_unique()
    spans = (
        first.frame.with_columns(accounts).group_by("buena_person_id").agg(pl.col("Account Id").n_unique())
    )
    assert spans["Account Id"].max() == 1
    assert set(again.frame["buena_status"]) == {"cached"}
    assert_frame_equal(
        first.frame.drop("buena_status"), again.frame.drop("buena_status"), check_row_order=True
    )


@pytest.mark.parametrize("name", ["leads-1000.csv", "customers-1000.csv"])
def test_the_columns_of_other_tables_are_found_without_help(
    name: str, client: BuenaClient, store: EnrichmentStore
) -> None:
    """Two e-mail columns in one, another tool's header in the other."""
    table = pl.read_csv(DATA / name)
    enriched = enrich_frame(table, client=client, store=store)
    assert enriched.select(table.columns).equals(table)
    assert set(enriched["buena_status"]) <= {"enriched", "failed"}


def test_only_missing_blocks_are_bought(
    sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """Three runs with more and more options: each buys what the others left, and the rows agree."""
    leads = addresses(60)
    for blocks in (["company"], ["company", "personal"], ["personal", "company", "social", "contact"]):
        enriched = enrich_frame(leads, client=client, store=store, options=EnrichmentOptions.of(blocks))
    paid = sandbox.charges().filter(pl.col("count") > 0)
    assert paid.height == enriched.filter(pl.col("buena_status") == "enriched").height > 0
    assert paid["blocks"].to_list() == [[["company"], ["personal"], ["social", "contact"]]] * paid.height
    assert paid["repeated"].list.len().sum() == 0


def test_a_person_bought_by_mail_is_known_by_profile_and_by_an_alternative_address(
    everybody: Sandbox, store: EnrichmentStore
) -> None:
    """What the vendor's answer confirms is a cache hit from then on."""
    options = EnrichmentOptions()
    with everybody as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        enriched = enrich_frame(addresses(40), client=client, store=store, options=options)
        rich = enriched.filter(
            pl.col("buena_linkedin_url").is_not_null() & pl.col("buena_alternative_emails").is_not_null()
        )
        assert rich.height > 0
        paid = sandbox.credits_used
        by_profile = rich.select(pl.col("buena_linkedin_url").alias("LinkedIn Profile URL"))
        by_other = rich.select(pl.col("buena_alternative_emails").list.first().alias("email"))
        for table in (by_profile, by_other):
            again = enrich_frame(table, client=client, store=store, options=options)
            assert again["buena_status"].to_list() == ["cached"] * rich.height
            assert again["buena_person_id"].to_list() == rich["buena_person_id"].to_list()
        assert sandbox.credits_used == paid


def test_a_not_found_is_remembered(client: BuenaClient, sandbox: Sandbox, store: EnrichmentStore) -> None:
    """The second run does not ask again, and says when it asked."""
    with Sandbox(limits=None, not_found=1.0) as nobody, BuenaClient(nobody.api_key, nobody.url) as asking:
        first = enrich_frame(addresses(3), client=asking, store=store)
        again = Enricher(asking, store).run(addresses(3))
        assert nobody.requests == 1
    assert first["buena_status"].to_list() == again.frame["buena_status"].to_list() == ["failed"] * 3
    assert all("remembered" in reason for reason in again.frame["buena_error"])
    assert (again.report.failed, again.report.failed_remembered, again.report.credits_avoided) == (3, 3, 3)
    later = enrich_frame(addresses(3), client=client, store=store, retry_failed_after=timedelta(0))
    assert sandbox.requests == 1
    assert (
        "failed" not in later["buena_status"].to_list()
        or later["buena_error"].str.contains("remembered").sum() == 0
    )


def test_stale_blocks_are_bought_again(sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore) -> None:
    """With no age allowed everything known is stale; the plan says so."""
    enrich_frame(addresses(5), client=client, store=store, retry_failed_after=None)
    plan = plan_frame(addresses(5), store=store, max_age=timedelta(0))
    assert plan.stale == plan.to_buy > 0
    assert plan_frame(addresses(5), store=store, max_age=None).to_buy == 0
    enrich_frame(addresses(5), client=client, store=store, max_age=timedelta(0))
    assert sandbox.charges()["count"].max() == 2


ADDRESS = st.sampled_from(["a@x.example", "A+1@x.example", "b@y.example", "info@x.example", "n/a", "", None])
PROFILE = st.sampled_from(
    ["linkedin.com/in/a", "https://de.linkedin.com/in/B/?x=1", "https://x.example", None]
)
NAME = st.sampled_from(["Ann", "Bob", "-", None])
ROW = st.fixed_dictionaries(
    {
        "email": ADDRESS,
        "Profile": PROFILE,
        "first": NAME,
        "last": NAME,
        "firm": st.sampled_from(["X Inc", None]),
    }
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory):
    """One sandbox, client and store for many small tables."""
    with Sandbox(limits=None) as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        yield client, EnrichmentStore(tmp_path_factory.mktemp("shared") / "buena.duckdb")


@given(st.lists(ROW, max_size=12))
def test_any_table_comes_back_whole(shared: tuple[BuenaClient, EnrichmentStore], rows: list[dict]) -> None:
    """Same rows, same order, a status on each, a reason on each that was not served."""
    client, store = shared
    table = pl.DataFrame(rows, schema=dict.fromkeys(("email", "Profile", "first", "last", "firm"), pl.String))
    columns = {"linkedin_url": "Profile", "first_name": "first", "last_name": "last", "company": "firm"}
    enriched = enrich_frame(table, columns=columns, client=client, store=store)
    assert enriched.select(table.columns).equals(table)
    added = {f"buena_{name}": dtype for name, dtype in ENRICHED.items()}
    assert enriched.schema == pl.Schema({**table.schema, **added})
    assert enriched["buena_status"].null_count() == 0
    served = pl.col("buena_status").is_in(["enriched", "cached"])
    assert enriched.filter(~served & pl.col("buena_error").is_null()).is_empty()
    assert enriched.filter(
        (pl.col("buena_status") != "invalid") & pl.col("buena_person_id").is_null()
    ).is_empty()


# --- tables of every kind --------------------------------------------------------------------------------


def test_a_lazy_frame_stays_lazy_and_knows_its_schema(
    sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """Nothing is sent until it is collected; collected twice it costs once."""
    lazy = enrich_frame(addresses(3).lazy(), client=client, store=store)
    assert isinstance(lazy, pl.LazyFrame)
    schema = lazy.collect_schema()
    assert sandbox.requests == 0
    collected = lazy.collect()
    assert collected.schema == schema
    assert lazy.select("buena_status").collect().height == 3
    assert sandbox.requests == 1
    with pytest.raises(ColumnError, match="No column"):
        enrich_frame(pl.LazyFrame({"amount": [1]}), client=client, store=store)


def test_tables_of_other_libraries_come_back_as_polars(client: BuenaClient, store: EnrichmentStore) -> None:
    """Pandas (its index is left out), pyarrow and a DuckDB relation."""
    expected = enrich_frame(addresses(2), client=client, store=store)["buena_person_id"]
    plain = {"email": addresses(2)["email"].to_list()}
    with duckdb.connect() as connection:
        made = connection.sql(
            "select 'person' || i || '@acme' || i || '.example' as email from range(2) t(i)"
        )
        for table in (pd.DataFrame(plain, index=["x", "y"]), pa.table(plain), made):
            enriched = enrich_frame(table, client=client, store=store)
            assert enriched.columns[0] == "email"
            assert enriched["buena_person_id"].equals(expected)


@pytest.mark.parametrize("table", [[{"email": "a@x.example"}], {"email": ["a"]}, pl.Series(["a"]), None])
def test_what_is_no_table_is_refused(table: object, store: EnrichmentStore) -> None:
    """The message says what a table is."""
    with pytest.raises(InputError, match="A table is needed"):
        enrich_frame(table, store=store)


def test_an_empty_and_an_all_null_table_have_the_same_schema(store: EnrichmentStore) -> None:
    """The dtypes never depend on the data, and nothing needs a key."""
    empty = enrich_frame(pl.DataFrame(schema={"email": pl.String}), store=store)
    nulls = enrich_frame(pl.DataFrame({"email": [None, None]}, schema={"email": pl.String}), store=store)
    assert empty.height == 0
    assert empty.schema == nulls.schema
    assert nulls["buena_status"].to_list() == ["invalid", "invalid"]
    assert nulls["buena_error"].str.starts_with("no usable identifier").all()


def test_numbers_where_text_belongs_are_read_as_text(client: BuenaClient, store: EnrichmentStore) -> None:
    """A numeric company name is a name; the user's column keeps its dtype."""
    table = pl.DataFrame({"First Name": ["Ann"], "Last Name": ["Lee"], "Company": [1234]})
    enriched = enrich_frame(table, client=client, store=store)
    assert enriched.schema["Company"] == pl.Int64
    assert enriched["buena_status"].item() in ("enriched", "failed")


def test_nested_columns_are_refused(store: EnrichmentStore) -> None:
    """The message names the column and its dtype."""
    with pytest.raises(ColumnError, match=r"email.*Struct"):
        enrich_frame(pl.DataFrame({"email": [{"work": "a@x.example"}]}), store=store)
    with pytest.raises(ColumnError, match=r"company.*List"):
        enrich_frame(pl.DataFrame({"email": ["a@x.example"], "company": [["Acme"]]}), store=store)


def test_a_clash_with_the_prefix_is_found_before_any_cost(
    sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """Enriching an enriched table names the columns and the cure; another prefix works."""
    once = enrich_frame(addresses(1), client=client, store=store)
    with pytest.raises(ColumnError, match=r"overwrite: buena_status.*prefix"):
        enrich_frame(once, client=client, store=store)
    twice = enrich_frame(once, client=client, store=store, prefix="again_")
    assert twice["again_status"].item() in ("cached", "failed")
    assert sandbox.requests == 1


def test_blocks_that_were_not_asked_for_stay_empty(client: BuenaClient, store: EnrichmentStore) -> None:
    """Whatever the store knows: the same call gives the same columns."""
    enrich_frame(addresses(9), client=client, store=store)
    company = enrich_frame(addresses(9), client=client, store=store, options=EnrichmentOptions.of("company"))
    others = [f"buena_{name}" for name, block in BLOCK_OF.items() if block != "company"]
    assert company.select(pl.col(others).is_null().all()).row(0) == (True,) * len(others)
    assert company["buena_company_name"].null_count() < 9


# --- money -----------------------------------------------------------------------------------------------


def test_the_plan_says_what_the_run_then_does(everybody: Sandbox, store: EnrichmentStore) -> None:
    """Counts, requests and credits agree; planning sends nothing and needs no key."""
    table = pl.concat([addresses(120), addresses(10), pl.DataFrame({"email": ["n/a"]})])
    plan = plan_frame(table, store=store)
    assert (plan.rows, plan.people, plan.duplicates, plan.invalid) == (131, 120, 10, 1)
    assert (plan.to_buy, plan.requests, plan.max_credits) == (120, 3, 120)
    assert "120 to buy in 3 requests" in str(plan)
    with everybody as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        report = Enricher(client, store).run(table).report
        assert (report.requests, report.credits_used) == (sandbox.requests, sandbox.credits_used) == (3, 120)
        assert report.credits_remaining == sandbox.credits
    assert (report.enriched, report.credits_avoided, report.deferred_reason) == (120, 10, None)
    assert plan_frame(table, store=store).cached == 120


def test_a_plan_makes_no_store(store: EnrichmentStore) -> None:
    """What is not there is empty, with a daily budget as well; a folder that is missing is told."""
    folder = store.path.parent
    for again in range(2):
        plan = plan_frame(addresses(120 + again), store=store, daily_credits=100)
        assert (plan.to_buy, plan.deferred, plan.cached) == (100, 20 + again, 0)
    assert not list(folder.iterdir())
    with pytest.raises(StoreError, match="does not exist: create it"):
        plan_frame(addresses(1), store=folder / "none" / "buena.duckdb")
    with pytest.raises(NotAStoreError, match="There is no store"):
        plan_frame(addresses(1), store=EnrichmentStore(store.path, read_only=True))


def test_a_plan_takes_in_what_waits_for_a_store_that_is_gone(store: EnrichmentStore) -> None:
    """What was paid for is known to the plan, as it would be to the run."""
    entry = store.keep(Postings())
    plan_frame(addresses(5), store=store)
    assert store.path.exists()
    assert not entry.exists()


def test_a_budget_buys_the_best_and_defers_the_rest(everybody: Sandbox, store: EnrichmentStore) -> None:
    """Not one credit more, the highest priority first; the next run goes on."""
    table = addresses(80).with_columns(value=pl.int_range(80))
    with everybody as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        some = Enricher(client, store, max_credits=30, priority=pl.col("value")).run(table)
        assert sandbox.credits_used == 30
        assert some.frame["buena_status"].to_list() == ["deferred"] * 50 + ["enriched"] * 30
        assert some.report.deferred_reason == "the budget max_credits reaches no further"
        none = enrich_frame(table, client=client, store=store, max_credits=0)
        assert none["buena_status"].to_list() == ["deferred"] * 50 + ["cached"] * 30
        rest = enrich_frame(table, client=client, store=store)
        assert (sandbox.credits_used, charged_once(sandbox)) == (80, True)
    assert rest["buena_status"].to_list() == ["enriched"] * 50 + ["cached"] * 30


def test_a_budget_holds_when_a_lead_costs_more_than_one_credit(store: EnrichmentStore) -> None:
    """The price is learned from the answers; what the budget cannot pay is deferred."""
    with (
        Sandbox(limits=None, not_found=0.0, credits_per_lead=3) as sandbox,
        BuenaClient(sandbox.api_key, sandbox.url, concurrency=1) as client,
    ):
        result = Enricher(client, store, max_credits=200).run(addresses(120))
        assert sandbox.credits_used <= 200
        assert result.report.credits_used == sandbox.credits_used
    counts = dict(result.frame["buena_status"].value_counts().cast({"buena_status": pl.String}).rows())
    assert counts == {"enriched": sandbox.credits_used / 3, "deferred": 120 - sandbox.credits_used / 3}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_credits": -1}, "max_credits"),
        ({"max_age": 90}, r"max_age takes a datetime\.timedelta"),
        ({"retry_failed_after": timedelta(days=-1)}, "retry_failed_after"),
        ({"max_wait": -1}, "max_wait"),
        ({"max_wait": None}, "max_wait"),
        ({"max_credits": "5"}, "max_credits"),
        ({"priority": "email"}, "priority takes a polars expression"),
        ({"prefix": None}, "prefix takes text"),
        ({"options": "company"}, "options takes EnrichmentOptions"),
        ({"client": "bna_key"}, "client takes a BuenaClient"),
        ({"priority": pl.col("nowhere")}, 'priority asks for a column "nowhere"'),
        ({"priority": pl.lit("high")}, "priority cannot be computed"),
        ({"priority": pl.col("email").len()}, "one number per row"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    settings: dict, message: str, store: EnrichmentStore
) -> None:
    """Before anything is sent, in our words."""
    with pytest.raises(InputError, match=message) as caught:
        enrich_frame(addresses(2), store=store, **settings)
    assert "person1@" not in str(caught.value)


# --- what the vendor may answer --------------------------------------------------------------------------


def test_a_lead_the_vendor_refuses_is_invalid_and_the_others_are_bought(
    everybody: Sandbox, store: EnrichmentStore
) -> None:
    """400 with an index: that lead alone, with the vendor's reason."""
    with everybody as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        sandbox.inject(Fault("invalid_lead", index=2))
        enriched = enrich_frame(addresses(5), client=client, store=store)
        assert charged_once(sandbox)
    assert enriched["buena_status"].to_list() == ["enriched", "enriched", "invalid", "enriched", "enriched"]
    assert enriched["buena_error"][2]


def test_a_refusal_that_names_nobody_is_halved_until_the_bad_lead_stands_alone(
    everybody: Sandbox, store: EnrichmentStore
) -> None:
    """400 without indexes, as long as the bad lead is in the request."""
    with everybody as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        sandbox.inject(Fault("invalid_request", lead="person13@acme13.example", times=None))
        enriched = enrich_frame(addresses(50), client=client, store=store)
        assert (sandbox.credits_used, charged_once(sandbox)) == (49, True)
    bad = enriched.with_row_index().filter(pl.col("buena_status") == "invalid")
    assert bad["index"].to_list() == [13]


def test_a_lead_goes_out_again_without_the_profile_the_vendor_refuses(
    everybody: Sandbox, store: EnrichmentStore
) -> None:
    """If something else identifies it; else it is invalid."""
    table = pl.DataFrame(
        {
            "email": ["jane@acme.example", None, "omar@acme.example"],
            "linkedin_url": ["linkedin.com/in/jane-doe", "linkedin.com/in/nobody-else", None],
        }
    )
    with everybody as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        for slug in ("jane-doe", "nobody-else"):
            sandbox.inject(Fault("invalid_linkedin_url", lead=slug, times=None))
        enriched = enrich_frame(table, client=client, store=store)
        assert (sandbox.credits_used, charged_once(sandbox)) == (2, True)
    assert enriched["buena_status"].to_list() == ["enriched", "invalid", "enriched"]
    assert "LinkedIn" in enriched["buena_error"][1]


def test_when_credits_run_out_the_batch_shrinks_and_the_rest_is_deferred(store: EnrichmentStore) -> None:
    """402: what is left is spent to the last credit, and the next run goes on."""
    with (
        Sandbox(limits=None, not_found=0.0, credits=70) as sandbox,
        BuenaClient(sandbox.api_key, sandbox.url) as client,
    ):
        first = Enricher(client, store).run(addresses(100))
        assert (sandbox.credits, first.report.credits_used) == (0, 70)
        assert first.report.deferred == 30
        assert first.report.deferred_reason == "the vendor's credits are used up"
        sandbox.credits = 100
        second = Enricher(client, store).run(addresses(100))
        assert (second.report.cached, second.report.enriched) == (70, 30)
        assert charged_once(sandbox)


def test_a_rate_limit_within_max_wait_is_waited_for(everybody: Sandbox, store: EnrichmentStore) -> None:
    """429: the wait the vendor asks for, then the same request."""
    with everybody as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        sandbox.inject(Fault("rate_limited", wait=0.05, tell="body"))
        enriched = enrich_frame(addresses(3), client=client, store=store)
        assert charged_once(sandbox)
    assert set(enriched["buena_status"]) == {"enriched"}


def test_a_rate_limit_beyond_max_wait_defers_and_says_when_to_resume(
    everybody: Sandbox, store: EnrichmentStore
) -> None:
    """429 with a long wait: nothing is slept, the rows say why."""
    with everybody as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        sandbox.inject(Fault("rate_limited", wait=3600, tell="reset_time"))
        result = Enricher(client, store, max_wait=timedelta(seconds=30)).run(addresses(120))
    assert set(result.frame["buena_status"]) <= {"deferred", "enriched"}
    assert "deferred" in set(result.frame["buena_status"])
    assert result.report.resume_at is not None
    assert "rate limit" in str(result.report)
    assert "run again after" in str(result.report)


@pytest.mark.parametrize("status", [500, 502, 503])
def test_server_faults_are_tried_again(status: int, everybody: Sandbox, store: EnrichmentStore) -> None:
    """Two failures, then an answer; nobody notices."""
    with everybody as sandbox, BuenaClient(sandbox.api_key, sandbox.url, backoff=0.01) as client:
        sandbox.inject(Fault("status", status=status, times=2))
        assert set(enrich_frame(addresses(3), client=client, store=store)["buena_status"]) == {"enriched"}
        assert charged_once(sandbox)


@pytest.mark.parametrize("status", [500, 502, 503])
def test_three_server_faults_in_a_row_defer_the_rest(
    status: int, sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """The vendor is down: the rows wait, nothing was charged."""
    sandbox.inject(Fault("status", status=status, times=None))
    enriched = enrich_frame(addresses(3), client=client, store=store)
    assert enriched["buena_status"].to_list() == ["deferred"] * 3
    assert enriched["buena_error"].to_list() == [f"the vendor answered {status}"] * 3
    assert sandbox.requests == 3
    assert sandbox.credits_used == 0
    assert store.ledger()["state"].to_list() == ["failed"]


def test_an_unreachable_host_defers_every_row_and_names_the_host(store: EnrichmentStore) -> None:
    """Connection refused: nothing was sent."""
    with BuenaClient("key", "http://127.0.0.1:9", backoff=0.01) as client:
        enriched = enrich_frame(addresses(2), client=client, store=store)
    assert enriched["buena_status"].to_list() == ["deferred"] * 2
    assert enriched["buena_error"].str.contains("http://127.0.0.1:9", literal=True).all()


@pytest.mark.parametrize(
    "kind", ["reset_before", "reset_after", "truncate", "cut_json", "empty", "success_false", "not_json"]
)
def test_a_lost_answer_is_unknown_and_not_bought_again_in_the_run(
    kind: str, everybody: Sandbox, store: EnrichmentStore
) -> None:
    """The leads may be charged: deferred with the reason, in the ledger as unknown, never sent twice."""
    with everybody as sandbox, BuenaClient(sandbox.api_key, sandbox.url, concurrency=1) as client:
        sandbox.inject(Fault(kind))
        result = Enricher(client, store).run(addresses(70))
        assert charged_once(sandbox)
        assert sandbox.requests == 2
        assert result.frame["buena_status"].to_list() == ["deferred"] * 50 + ["enriched"] * 20
        assert result.frame["buena_error"][0].startswith("perhaps charged, see the ledger: ")
        assert result.report.unknown == 50
        plan = plan_frame(addresses(70), store=store)
        assert (plan.cached, plan.deferred, plan.unknown, plan.to_buy) == (20, 50, 50, 0)
        again = Enricher(client, store).run(addresses(70))
        assert sandbox.requests == 2
        assert again.report.unknown == 50
        assert again.frame["buena_error"].drop_nulls().str.contains("retry_unknown=True").all()
        insisting = enrich_frame(addresses(70), client=client, store=store, retry_unknown=True)
        assert insisting["buena_status"].to_list() == ["enriched"] * 50 + ["cached"] * 20
    assert sorted(store.ledger()["state"]) == ["answered", "answered", "unknown"]


def test_unusable_answers_in_a_row_stop_the_run(everybody: Sandbox, store: EnrichmentStore) -> None:
    """A proxy that eats every answer must not cost the whole table."""
    with everybody as sandbox, BuenaClient(sandbox.api_key, sandbox.url, concurrency=1) as client:
        sandbox.inject(Fault("empty", times=None))
        result = Enricher(client, store).run(addresses(500))
        assert sandbox.requests == 3
    assert (result.report.unknown, result.report.deferred) == (150, 500)


def test_an_answer_that_cannot_be_read_is_kept(everybody: Sandbox, store: EnrichmentStore) -> None:
    """Whatever came is in the store, word for word."""
    with everybody as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        sandbox.inject(Fault("cut_json"))
        enrich_frame(addresses(1), client=client, store=store)
    assert store.sql("select body from response where person_id is null")["body"].item().startswith("{")


def test_people_in_neither_list_who_were_charged_are_not_bought_again(
    everybody: Sandbox, store: EnrichmentStore
) -> None:
    """More was charged than was answered: they are deferred, in the next run too, until somebody insists."""
    with everybody as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        sandbox.inject(Fault("drop", lead="person1@acme1.example"))
        first = Enricher(client, store).run(addresses(3))
        assert first.frame["buena_status"].to_list() == ["enriched", "deferred", "enriched"]
        assert first.frame["buena_error"][1] == "charged, but the answer does not mention this lead"
        assert (first.report.credits_used, first.report.unknown) == (3, 1)
        second = enrich_frame(addresses(3), client=client, store=store)
        assert second["buena_status"].to_list() == ["cached", "deferred", "cached"]
        assert second["buena_error"][1].startswith("charged, but the answer was lost")
        assert (sandbox.credits_used, charged_once(sandbox)) == (3, True)
        third = enrich_frame(addresses(3), client=client, store=store, retry_unknown=True)
    assert third["buena_status"].to_list() == ["cached", "enriched", "cached"]


def test_people_in_neither_list_who_cost_nothing_are_failed_until_the_next_run(
    store: EnrichmentStore,
) -> None:
    """``no answer`` is not a "not found": the next run asks again."""

    def answer(number: int, leads: list[dict]) -> httpx.Response:
        return found(leads[:-1] if number == 1 else leads, title="CTO")

    with BuenaClient("key", "http://vendor.example", answering(answer)) as client:
        first = enrich_frame(addresses(3), client=client, store=store)
        second = enrich_frame(addresses(3), client=client, store=store)
    assert first["buena_error"].to_list() == [None, None, "no answer for this lead"]
    assert first["buena_status"].to_list() == ["enriched", "enriched", "failed"]
    assert second["buena_status"].to_list() == ["cached", "cached", "enriched"]


def test_an_item_nobody_asked_for_is_kept_and_given_to_nobody(
    everybody: Sandbox, store: EnrichmentStore
) -> None:
    """It was paid for; it is nobody's row."""
    with everybody as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        sandbox.inject(Fault("extra"))
        enriched = enrich_frame(addresses(3), client=client, store=store)
    assert enriched["buena_status"].to_list() == ["enriched"] * 3
    assert store.sql("select count(*) from response where person_id is null").item() == 1
    assert store.stats().people == 3


def test_a_wrong_key_stops_the_run_at_once(sandbox: Sandbox, store: EnrichmentStore) -> None:
    """401: one clear error, nothing charged, and the key is not in it."""
    with BuenaClient("bna_wrong_secret", sandbox.url) as client, pytest.raises(AuthenticationError) as caught:
        enrich_frame(addresses(200), client=client, store=store)
    assert "BUENA_API_KEY" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert sandbox.credits_used == 0
    assert store.runs()["state"].to_list() == ["stopped"]


def test_a_missing_permission_is_named(store: EnrichmentStore) -> None:
    """403: what the key lacks and what it has."""
    with (
        Sandbox(permissions=["leads:read"]) as sandbox,
        BuenaClient(sandbox.api_key, sandbox.url) as client,
        pytest.raises(
            PermissionDeniedError, match=r"lacks the permission leads:enrich.*leads:read"
        ) as caught,
    ):
        enrich_frame(addresses(1), client=client, store=store)
    assert caught.value.required == "leads:enrich"
    assert (sandbox.requests, sandbox.credits_used) == (1, 0)


@pytest.mark.parametrize(
    ("kind", "error"),
    [("unauthorized", AuthenticationError), ("forbidden", PermissionDeniedError)],
    ids=["401", "403"],
)
def test_answers_on_the_way_when_a_run_stops_are_kept(
    kind: str, error: type[Exception], everybody: Sandbox, store: EnrichmentStore
) -> None:
    """401 or 403 in the middle: what was paid before is in the store and free in the next run."""
    with everybody as sandbox, BuenaClient(sandbox.api_key, sandbox.url, concurrency=2) as client:
        sandbox.inject(Fault(kind, after=3))
        with pytest.raises(error):
            enrich_frame(addresses(500), client=client, store=store)
        paid = sandbox.credits_used
        assert store.stats().people == paid > 0
        enrich_frame(addresses(500), client=client, store=store)
        assert (sandbox.credits_used, charged_once(sandbox)) == (500, True)


def test_without_a_key_nothing_is_bought_but_what_is_known_is_served(
    client: BuenaClient, store: EnrichmentStore
) -> None:
    """The key is only needed when something has to be bought."""
    enrich_frame(addresses(2), client=client, store=store)
    assert enrich_frame(addresses(2), store=store)["buena_person_id"].null_count() == 0
    with pytest.raises(SettingsError, match="BUENA_API_KEY"):
        enrich_frame(addresses(3), store=store)
    assert store.runs()["state"].to_list() == ["finished", "finished"]


# --- one lead, and the rest ------------------------------------------------------------------------------


def test_one_lead_is_looked_up_and_enriched(everybody: Sandbox, store: EnrichmentStore) -> None:
    """Unknown, bought, known."""
    lead = {"email": "jane.doe@acme.example"}
    with everybody as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        enricher = Enricher(client, store)
        assert enricher.lookup(lead) is None
        assert sandbox.requests == 0
        assert enricher.enrich_one(lead)["status"] == "enriched"
        known = enricher.lookup({"email": "Jane.Doe+web@acme.example"})
    assert known is not None
    assert (known["status"], known["first_name"]) == ("cached", "Jane")
    with pytest.raises(InputError, match="not phone"):
        enricher.lookup({"phone": "1"})
    with pytest.raises(InputError, match="no usable identifier"):
        enricher.lookup({"email": "n/a"})


@pytest.mark.parametrize(
    ("lead", "said"),
    [
        ({"email": "\ud800secret@acme.example"}, "The email of the lead holds half a character"),
        ({"email": "jane@acme.example", "company": "secret\udfff"}, "The company of the lead holds half"),
        ({"email": 4711}, "The email of a lead is text or None, not int"),
        ({"last_name": b"secret"}, "The last_name of a lead is text or None, not bytes"),
        ({"company": float("nan")}, "The company of a lead is text or None, not float"),
        ({"email": ["secret@acme.example"]}, "The email of a lead is text or None, not list"),
        (None, "A lead is a mapping .* not NoneType"),
        (["email"], "A lead is a mapping .* not list"),
        ("secret@acme.example", "A lead is a mapping .* not str"),
        (4711, "A lead is a mapping .* not int"),
        (pl.DataFrame({"email": ["secret@acme.example"]}), "A lead is a mapping .* not DataFrame"),
        ({1: "secret"}, "A lead has the fields .* not 1"),
        ({"\ud800": "secret"}, r"A lead has the fields .* not \?"),
    ],
)
def test_what_is_no_lead_is_refused(store: EnrichmentStore, lead: Any, said: str) -> None:
    """With the name of the field and without its value, before anything is read or sent."""
    enricher = Enricher(store=store)
    for method in (enricher.lookup, enricher.enrich_one):
        with pytest.raises(InputError, match=said) as refused:
            method(lead)
        assert "secret" not in str(refused.value)
        assert "4711" not in str(refused.value)
        assert str(refused.value).encode()
    assert not store.path.exists()


def test_a_table_with_text_that_cannot_be_kept_is_refused(store: EnrichmentStore) -> None:
    """Half a character in a pandas column, as a wrong decoding leaves it."""
    table = pd.DataFrame({"email": pd.Series(["jane@acme.example", "\ud800@acme.example"], dtype=object)})
    with pytest.raises(InputError, match="A text of the DataFrame holds half a character"):
        Enricher(store=store).plan(table)


def test_progress_tells_how_far_it_is(everybody: Sandbox, store: EnrichmentStore) -> None:
    """The last call says that all is done and what it cost."""
    seen: list[EnrichmentProgress] = []
    with everybody as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        enrich_frame(addresses(120), client=client, store=store, progress=seen.append)
    assert seen[-1] == EnrichmentProgress(done=120, total=120, credits_used=120.0)
    assert [step.done for step in seen] == sorted(step.done for step in seen)


def test_an_interrupt_waits_for_the_answers_on_the_way_and_keeps_them(tmp_path: Path) -> None:
    """A real SIGINT: what the sandbox charged is in the store, and the next run pays for the rest only."""
    script = """
import sys
from datetime import timedelta
import polars as pl
from buena_pipeline import BuenaClient, enrich_frame
leads = pl.DataFrame({"email": [f"person{n}@acme{n}.example" for n in range(400)]})
with BuenaClient(sys.argv[1], sys.argv[2], concurrency=2) as client:
    enrich_frame(leads, client=client, store=sys.argv[3], progress=lambda step: print(step.done, flush=True))
"""
    path = tmp_path / "buena.duckdb"
    with Sandbox(limits=None, not_found=0.0, latency=0.2) as sandbox:
        command = [sys.executable, "-c", script, sandbox.api_key, sandbox.url, str(path)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            _, complaint = process.communicate(timeout=30)
        assert "Interrupted" in complaint
        assert "deferred: the run was interrupted" in complaint
        store = EnrichmentStore(path)
        paid = sandbox.credits_used
        assert store.stats().people == paid
        assert 0 < paid < 400
        assert store.runs()["state"].to_list() == ["stopped"]
        with BuenaClient(sandbox.api_key, sandbox.url) as client:
            enrich_frame(addresses(400), client=client, store=store)
        assert (sandbox.credits_used, charged_once(sandbox)) == (400, True)


def test_answers_that_the_store_cannot_take_go_to_the_journal(everybody: Sandbox, tmp_path: Path) -> None:
    """A shell holds the file while answers come: the error says so, and the next run takes them in once."""
    store = EnrichmentStore(tmp_path / "buena.duckdb", lock_timeout=0.2)
    holders: list[subprocess.Popen[str]] = []

    def hold(_: EnrichmentProgress) -> None:
        if not holders:
            script = (
                f"import duckdb\nwith duckdb.connect({str(store.path)!r}): print('held', flush=True); input()"
            )
            command = [sys.executable, "-c", script]
            holders.append(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            assert holders[0].stdout is not None
            assert holders[0].stdout.readline() == "held\n"

    with everybody as sandbox, BuenaClient(sandbox.api_key, sandbox.url, concurrency=2) as client:
        with pytest.raises(StoreLockedError, match=r"are safe in .*\.journal; the next run") as caught:
            enrich_frame(addresses(1_000), client=client, store=store, progress=hold)
        assert "held by process" in str(caught.value)
        holders[0].communicate("\n")
        entries = list(Path(f"{store.path}.journal").glob("*.json"))
        assert {entry.stat().st_mode & 0o777 for entry in entries} == {0o600}
        kept = sum(entry.read_text(encoding="utf-8").count('"found":true') for entry in entries)
        assert 0 < kept < sandbox.credits_used == kept + store.stats().people
        enriched = enrich_frame(addresses(1_000), client=client, store=store)
        assert set(enriched["buena_status"]) == {"cached", "enriched"}
        assert (sandbox.credits_used, charged_once(sandbox)) == (1_000, True)
    assert not list(Path(f"{store.path}.journal").iterdir())
    assert store.sql("select count(*) from answer").item() == 1_000


def test_a_display_that_breaks_costs_no_answer(everybody: Sandbox, store: EnrichmentStore) -> None:
    """An error in the progress callback ends the run, but not before what was charged is in the store."""

    def broken(_: EnrichmentProgress) -> None:
        raise RuntimeError("the display broke")

    with everybody as sandbox, BuenaClient(sandbox.api_key, sandbox.url, concurrency=3) as client:
        with pytest.raises(RuntimeError, match="display"):
            enrich_frame(addresses(400), client=client, store=store, progress=broken)
        assert store.stats().people == sandbox.credits_used > 0


def test_threads_over_one_store_pay_once(everybody: Sandbox, store: EnrichmentStore) -> None:
    """Runs of one process wait for each other; two lazy frames collected together are two runs."""
    with everybody as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        enricher = Enricher(client, store)
        with ThreadPoolExecutor(4) as pool:
            frames = list(pool.map(enricher.run, [addresses(60)] * 4))
        assert all(result.frame["buena_status"].is_in(["enriched", "cached"]).all() for result in frames)
        lazy = enrich_frame(addresses(100).lazy(), client=client, store=store)
        pl.collect_all([lazy.head(50), lazy.select("buena_status")])
        assert (sandbox.credits_used, charged_once(sandbox)) == (100, True)


class _Gate(httpx.HTTPTransport):
    """A transport that keeps the vendor's answers until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.answered, self.opened = threading.Event(), threading.Event()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        self.answered.set()
        self.opened.wait(60)
        return response


def test_a_run_waits_for_whoever_another_one_is_buying(everybody: Sandbox, store: EnrichmentStore) -> None:
    """Nothing is sent for them: they are served when the other has its answer, and paid once."""
    gate = _Gate()
    with (
        everybody as sandbox,
        BuenaClient(sandbox.api_key, sandbox.url, gate) as slow,
        BuenaClient(sandbox.api_key, sandbox.url) as client,
        ThreadPoolExecutor(2) as pool,
    ):
        try:
            first = pool.submit(enrich_frame, addresses(3), client=slow, store=store)
            assert gate.answered.wait(60)
            second = pool.submit(enrich_frame, addresses(3), client=client, store=store)
            wait_until(lambda: store.runs().height == 2, every=0.05)  # it has found out that it has to wait
        finally:
            gate.opened.set()
        assert first.result(60)["buena_status"].to_list() == ["enriched"] * 3
        assert second.result(60)["buena_status"].to_list() == ["cached"] * 3
        assert (sandbox.requests, charged_once(sandbox)) == (1, True)


def test_a_table_teaches_new_keys_of_people_who_are_known(everybody: Sandbox, store: EnrichmentStore) -> None:
    """A row joins a known address with a new one; alone, the new one is known in the next run."""
    with everybody as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        for table in (
            {"email": ["jane@a.example"]},
            {"email": ["jane@a.example"], "Email 2": ["private@b.example"]},
            {"email": ["private@b.example"]},
        ):
            enriched = enrich_frame(pl.DataFrame(table), client=client, store=store)
        assert enriched["buena_status"].item() == "cached"
        assert sandbox.credits_used == 1
    table = pl.DataFrame({"email": ["jane@a.example"], "Email 2": ["third@c.example"]})
    reader = EnrichmentStore(store.path, read_only=True)
    assert enrich_frame(table, store=reader)["buena_status"].item() == "cached"


def test_two_people_of_a_table_whom_the_store_knows_as_one_count_as_one(
    everybody: Sandbox, store: EnrichmentStore
) -> None:
    """Plan and report count people, not keys: what is to be bought is what is charged."""
    with everybody as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        both = pl.DataFrame({"email": ["jane@a.example"], "Email 2": ["private@b.example"]})
        enrich_frame(both, client=client, store=store, options=EnrichmentOptions.of("company"))
        apart = pl.DataFrame({"email": ["jane@a.example", "private@b.example"]})
        plan = plan_frame(apart, store=store)
        assert (plan.people, plan.duplicates, plan.to_buy) == (1, 1, 1)
        report = Enricher(client, store).run(apart).report
        assert (report.people, report.duplicates, report.enriched, report.credits_used) == (1, 1, 1, 1)
        assert sandbox.requests == 2


def answering(answer: Callable[[int, list[dict]], httpx.Response | Exception]) -> httpx.MockTransport:
    """A vendor that no server can play: told the number of the request and its leads."""
    numbers = itertools.count(1)

    def handle(request: httpx.Request) -> httpx.Response:
        given = answer(next(numbers), json.loads(request.content)["leads"])
        if isinstance(given, Exception):
            raise given
        return given

    return httpx.MockTransport(handle)


def found(leads: list[dict], **data: object) -> httpx.Response:
    """Everybody found, each with the same data."""
    items = [{"input": lead, "enrichedData": data} for lead in leads]
    return httpx.Response(200, json={"data": {"enriched": items, "failed": [], "creditsUsed": len(items)}})


@pytest.mark.parametrize(
    "bad",
    [httpx.Response(429, json={"retryAfter": 1e300}), OSError("broken"), RuntimeError("broken")],
    ids=repr,
)
def test_answers_nobody_can_use_do_not_cost_the_good_ones(
    bad: httpx.Response | Exception, store: EnrichmentStore
) -> None:
    """Two requests go wrong in a way of their own; what the others brought is in the store."""
    paid: list[int] = []
    all_have_left = threading.Barrier(4, timeout=30)

    def answer(number: int, leads: list[dict]) -> httpx.Response | Exception:
        all_have_left.wait()
        if number <= 2:
            return bad
        paid.append(len(leads))
        return found(leads, title="CTO")

    with (
        BuenaClient("key", "http://vendor.example", answering(answer), concurrency=4) as client,
        contextlib.suppress(RuntimeError),
    ):
        enrich_frame(addresses(200), client=client, store=store, max_wait=0)
    assert store.stats().people == sum(paid) == 100


def test_results_that_are_no_list_are_kept_and_not_asked_for_again(store: EnrichmentStore) -> None:
    """Paid for, but unreadable: the outcome is unknown, and the text is in the store."""
    body = {"data": {"enriched": {"a": {"enrichedData": {"title": "CTO"}}}, "failed": []}}
    transport = answering(lambda _number, _leads: httpx.Response(200, json=body))
    with BuenaClient("key", "http://vendor.example", transport) as client:
        enriched = enrich_frame(addresses(1), client=client, store=store)
    assert enriched["buena_status"].item() == "deferred"
    assert "CTO" in store.sql("select body from response")["body"].item()
    assert plan_frame(addresses(1), store=store).unknown == 1


def test_insisting_on_one_block_does_not_forget_the_unknown_of_another(
    everybody: Sandbox, store: EnrichmentStore
) -> None:
    """An answer settles only the blocks that it brought."""
    with everybody as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:

        def status(block: str, *, insist: bool = False) -> str:
            options = EnrichmentOptions.of(block)
            return enrich_frame(
                addresses(1), client=client, store=store, options=options, retry_unknown=insist
            )["buena_status"].item()

        sandbox.inject(Fault("reset_after"))
        assert [status("company"), status("personal", insist=True)] == ["deferred", "enriched"]
        assert status("company") == "deferred"
        assert sandbox.charges()["repeated"].list.len().sum() == 0


def test_a_front_desk_in_every_answer_makes_nobody_the_same_person(store: EnrichmentStore) -> None:
    """People with different names who share an address stay themselves."""

    def answer(_number: int, leads: list[dict]) -> httpx.Response:
        named = {"person0": "Ann", "person1": "Bob"}
        items = [
            {
                "input": lead,
                "enrichedData": {
                    "firstName": named[lead["email"].split("@")[0]],
                    "lastName": "Lee",
                    "alternativeEmails": ["desk.lee@z.example"],
                },
            }
            for lead in leads
        ]
        return httpx.Response(200, json={"data": {"enriched": items, "creditsUsed": len(items)}})

    with BuenaClient("key", "http://vendor.example", answering(answer)) as client:
        enriched = enrich_frame(addresses(2), client=client, store=store)
    assert enriched["buena_person_id"].n_unique() == 2
    assert enriched["buena_first_name"].to_list() == ["Ann", "Bob"]


def test_nothing_is_sent_after_an_interrupt(everybody: Sandbox, store: EnrichmentStore) -> None:
    """A request that waits for a rate limit when the run breaks off stays where it is."""
    with everybody as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        sandbox.inject(Fault("rate_limited", wait=1.0, tell="body"))

        def interrupt() -> None:
            while not sandbox.requests:
                time.sleep(0.01)
            time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            enrich_frame(addresses(3), client=client, store=store)
        assert sandbox.credits_used == 0
    assert store.ledger()["state"].to_list() == ["refused"]


def test_a_killed_run_pays_nobody_twice(tmp_path: Path) -> None:
    """A real kill -9 while requests are on their way: the next run defers those people, and says why."""
    script = """
import sys
import polars as pl
from buena_pipeline import BuenaClient, enrich_frame
leads = pl.DataFrame({"email": [f"person{n}@acme{n}.example" for n in range(400)]})
with BuenaClient(sys.argv[1], sys.argv[2], concurrency=2) as client:
    enrich_frame(leads, client=client, store=sys.argv[3], progress=lambda step: print(step.done, flush=True))
"""
    store = EnrichmentStore(tmp_path / "buena.duckdb")
    with Sandbox(limits=None, not_found=0.0, latency=0.2) as sandbox:
        command = [sys.executable, "-c", script, sandbox.api_key, sandbox.url, str(store.path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.kill()
        kept = store.stats().people
        with BuenaClient(sandbox.api_key, sandbox.url) as client:
            result = Enricher(client, store).run(addresses(400))
            assert charged_once(sandbox)
            assert result.report.cached == kept > 0
            # what was entered ahead of time, but had not left, is bought
            received = 50 * (sandbox.requests - result.report.requests)
            assert 0 < result.report.unknown == result.report.deferred <= received - kept
            assert result.report.enriched == 400 - kept - result.report.unknown
            insisting = enrich_frame(addresses(400), client=client, store=store, retry_unknown=True)
    assert set(insisting["buena_status"]) == {"enriched", "cached"}


def test_it_works_inside_a_running_event_loop(client: BuenaClient, store: EnrichmentStore) -> None:
    """As in a notebook."""

    async def cell() -> pl.DataFrame:
        return enrich_frame(addresses(2), client=client, store=store)

    assert asyncio.run(cell()).height == 2


def test_the_report_of_a_run_is_in_the_store(client: BuenaClient, store: EnrichmentStore) -> None:
    """As JSON, under the run's id."""
    report = Enricher(client, store).run(addresses(2)).report
    run = store.runs().row(0, named=True)
    assert (run["run_id"], run["state"], run["rows"]) == (report.run_id, "finished", 2)
    assert run["summary"] == report.to_json()


def test_a_result_shows_its_run_and_no_person(client: BuenaClient, store: EnrichmentStore) -> None:
    """As in a notebook or a log."""
    result = Enricher(client, store).run(addresses(2))
    assert repr(result) == f"EnrichmentResult(2 rows, run {result.report.run_id})"


def test_an_age_that_nothing_reaches_is_any_age(client: BuenaClient, store: EnrichmentStore) -> None:
    """The longest there is, and it does not overflow."""
    enrich_frame(addresses(3), client=client, store=store)
    plan = plan_frame(addresses(3), store=store, max_age=timedelta.max, retry_failed_after=timedelta.max)
    assert (plan.to_buy, plan.stale, plan.cached + plan.failed) == (0, 0, 3)


def test_enriched_rows_are_scored(everybody: Sandbox, store: EnrichmentStore) -> None:
    """The pipe of the README: enrich, then score."""
    with everybody as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        scored = addresses(20).pipe(enrich_frame, client=client, store=store).pipe(score_frame)
    assert scored["buena_score"].null_count() == 0
    assert scored["buena_score"].max() > 0


@pytest.mark.parametrize("budget", [{"max_credits": 120}, {"daily_credits": 120}])
def test_a_budget_goes_on_as_long_as_not_found_people_leave_something(
    store: EnrichmentStore, budget: dict[str, Any]
) -> None:
    """Whoever is not found costs nothing: the budget buys others, until it reaches nobody any more."""
    with Sandbox(limits=None, not_found=0.5) as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        report = Enricher(client, store, **budget).run(addresses(200)).report
        assert report.enriched == sandbox.credits_used < 120
        assert (report.enriched + report.failed, report.deferred) == (200, 0)


def test_a_store_is_a_store_or_a_path() -> None:
    """Anything else is refused before anything happens."""
    with pytest.raises(InputError, match="store takes an EnrichmentStore, or the path"):
        Enricher(store=5)


def test_an_export_or_a_query_of_a_damaged_store_says_so(client: BuenaClient, tmp_path: Path) -> None:
    """Damage is told as damage, not as a query that does not run."""
    store = EnrichmentStore(tmp_path / "buena.duckdb")
    enrich_frame(addresses(400), client=client, store=store)
    data = bytearray(store.path.read_bytes())
    start = data.find(b"person1")
    data[start : start + 2_000] = bytes(2_000)
    store.path.write_bytes(data)
    for look in (lambda: store.export(tmp_path / "out"), lambda: store.sql("from answer")):
        with pytest.raises(StoreDamagedError, match="Copy it"):
            look()


def test_a_closed_client_says_so(sandbox: Sandbox, store: EnrichmentStore) -> None:
    """Before anything is sent."""
    client = BuenaClient(sandbox.api_key, sandbox.url)
    client.close()
    with pytest.raises(SettingsError, match="closed"):
        enrich_frame(addresses(1), client=client, store=store)
    assert sandbox.requests == 0


@pytest.mark.parametrize(
    ("signals", "ends"),
    [((signal.SIGTERM,), SystemExit), ((signal.SIGINT, signal.SIGINT), KeyboardInterrupt)],
)
def test_a_signal_ends_a_run_with_its_report(
    signals: tuple[int, ...], ends: type[BaseException], store: EnrichmentStore
) -> None:
    """One waits for what is on its way; two give up on it, and say who is of unknown outcome."""
    latency = 0.5 if len(signals) == 1 else 20.0
    with (
        Sandbox(limits=None, not_found=0.0, latency=latency) as sandbox,
        BuenaClient(sandbox.api_key, sandbox.url, concurrency=1) as client,
    ):

        def interrupt() -> None:
            while not sandbox.requests:
                time.sleep(0.01)
            for number in signals:
                time.sleep(0.1)
                os.kill(os.getpid(), number)

        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(ends) as caught:
            Enricher(client, store).run(addresses(120))
        report = caught.value.report
        sandbox.stop()
    if len(signals) == 1:
        assert caught.value.code == 143
        assert (report.enriched, report.unknown) == (sandbox.credits_used, 0)
        assert report.deferred_reason == "the run was interrupted"
    else:
        assert (report.enriched, report.unknown, report.deferred) == (0, 50, 120)
        assert "unknown" in store.ledger()["state"].to_list()
    assert store.runs()["state"].to_list() == ["stopped"]
