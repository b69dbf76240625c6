"""The receipt: what the store says of requests and runs, and what the command ``ledger`` makes of it."""

from __future__ import annotations

import io
import json
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import polars as pl
import pytest

from buena_pipeline import BuenaClient, Enricher, EnrichmentStore, Sandbox
from buena_pipeline.balances import REQUESTS
from buena_pipeline.cli import main
from buena_pipeline.cli.ledger import describe_receipt
from buena_pipeline.reconcile import reconcile
from buena_pipeline.sandbox import Fault
from buena_pipeline.schema import REQUEST_ROWS, RUN_ROWS

START = datetime(2026, 5, 1, tzinfo=UTC)
LATER = START + timedelta(days=30)
REPORT = {
    "rows": 100,
    "people": 80,
    "duplicates": 15,
    "cached": 30,
    "enriched": 40,
    "failed": 8,
    "failed_remembered": 3,
    "deferred": 2,
    "suppressed": 1,
    "unknown": 2,
    "requests": 1,
    "credits_used": 40.5,
    "credits_remaining": 959.5,
    "deferred_reason": None,
}


MORE = "somebody else uses the account, or requests of unknown outcome were charged"


def written(store: EnrichmentStore, *changes: tuple[str, float, dict[str, Any]], people: int = 10) -> str:
    """Writes the state changes of one request, each at a minute of the history, and returns its id."""
    request_id = str(uuid.uuid4())
    for state, minute, told in changes:
        row = {
            "request_id": request_id,
            "state": state,
            "happened_at": START + timedelta(minutes=minute),
            "lease_until": START + timedelta(minutes=changes[0][1] + 10),
            "people": [str(uuid.uuid4())] * people,
            "credits_reserved": float(people),
            "account": "main",
            **told,
        }
        store.commit(new_request=pl.DataFrame([row], schema=REQUEST_ROWS))
    return request_id


def answered(store: EnrichmentStore, minute: float, used: float, left: float, **told: Any) -> str:
    """A request that was answered within a minute."""
    numbers = {"credits_used": used, "credits_remaining": left}
    return written(store, ("in flight", minute, told), ("answered", minute + 0.5, numbers | told))


def ran(store: EnrichmentStore, *changes: tuple[str, str | None]) -> None:
    """Writes the state changes of one run."""
    run_id = str(uuid.uuid4())
    for minute, (state, summary) in enumerate(changes):
        row = {
            "run_id": run_id,
            "state": state,
            "happened_at": START + timedelta(minutes=minute),
            "rows": 100,
        }
        store.commit(new_run=pl.DataFrame([row | {"summary": summary}], schema=RUN_ROWS))


def receipt(store: EnrichmentStore, *, now: datetime = LATER) -> dict[str, str]:
    """The lines of the receipt."""
    return dict(describe_receipt(store.ledger(), store.runs(), now=now))


@pytest.fixture
def shown(store: EnrichmentStore, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command on the store and returns what it printed."""

    def run(*args: str) -> str:
        assert main(["ledger", "--store", str(store.path), *args]) == 0
        return capfd.readouterr().out

    return run


# --- the store -------------------------------------------------------------------------------------------


def test_the_newest_state_of_a_request_counts(store: EnrichmentStore) -> None:
    """Unknown, then charged: with the credits and the reason of the verdict, and the time of each."""
    lost = written(
        store,
        ("in flight", 0, {}),
        ("unknown", 1, {"reason": "no answer"}),
        ("charged", 60, {"credits_used": 7.0, "reason": "the balance fell"}),
    )
    row = store.ledger().row(0, named=True)
    assert (row["request_id"], row["state"], row["account"], row["people"]) == (lost, "charged", "main", 10)
    assert (row["credits_used"], row["reason"]) == (7.0, "the balance fell")
    minutes = [(row[name] - START) / timedelta(minutes=1) for name in ("sent_at", "closed_at", "settled_at")]
    assert minutes == [0, 1, 60]


def test_of_two_states_at_one_moment_the_later_in_life_counts(store: EnrichmentStore) -> None:
    """Clocks are coarse."""
    written(store, ("answered", 5, {"credits_used": 1.0}), ("in flight", 5, {}))
    written(store, ("charged", 6, {"credits_used": 1.0}), ("unknown", 6, {}))
    assert store.ledger()["state"].to_list() == ["answered", "charged"]


LATE = (
    ("in flight", 0, {}),
    ("unknown", 60, {"reason": "the answer did not come within its lease"}),
    ("charged", 61, {"credits_used": 20.0, "reason": "the balance fell"}),
    ("answered", 62, {"credits_used": 19.0, "credits_remaining": 900.0}),
)
"""An answer for which nobody waited any more: the laptop was asleep, and the lease was over."""


def sums(store: EnrichmentStore) -> set[float]:
    """The credits used, as each place tells them that sums up."""
    return {
        store.stats().credits_used,
        store.ledger()["credits_used"].sum(),
        store.sql("select sum(credits_used) from credits_by_day").item(),
    }


def test_a_request_that_was_settled_and_answered_after_all_counts_once(store: EnrichmentStore) -> None:
    """By what the vendor said, in every sum, on one day, and the store's check agrees."""
    answered(store, 0, 10, 990)
    written(store, *LATE)
    assert sums(store) == {29.0}
    assert store.sql("select * exclude (credits_remaining) from credits_by_day").rows() == [
        (START.date(), 2, 0, 20, 29.0)
    ]
    assert store.check().filter(~pl.col("ok"))["check"].to_list() == ["requests_belong_to_runs"]


def test_a_request_counts_on_the_day_of_the_answer_that_counts(store: EnrichmentStore) -> None:
    """And nothing of it on the days of the states it had before."""
    written(store, *((state, 24 * 60 * day, told) for day, (state, _, told) in enumerate(LATE)))
    assert store.sql("select day, requests, unknown_requests, credits_used from credits_by_day").rows() == [
        ((START + timedelta(days=3)).date(), 1, 0, 19.0)
    ]


@pytest.mark.parametrize(
    ("told", "cost"), [({"credits_used": 19.0}, 19.0), ({}, 20.0)], ids=["with its price", "without"]
)
def test_a_late_answer_counts_also_by_a_clock_that_was_set_back(
    store: EnrichmentStore, told: dict[str, float], cost: float
) -> None:
    """What the vendor said outweighs what was concluded without it; the amount stays if it said none."""
    written(store, *LATE[:3], ("answered", -500, told))
    assert store.ledger()["state"].to_list() == ["answered"]
    assert sums(store) == {cost}
    assert store.check().filter(~pl.col("ok"))["check"].to_list() == ["requests_belong_to_runs"]


@pytest.mark.parametrize("state", ["refused", "failed"])
def test_a_late_refusal_costs_nothing(store: EnrichmentStore, state: str) -> None:
    """Whatever was settled before: it was not this request that the balance fell by."""
    written(store, *LATE[:3], (state, 62, {}))
    assert store.ledger()["credits_used"].to_list() == [None]
    assert sums(store) == {0.0}


def test_a_store_of_the_release_before_counts_requests_once_from_now_on(store: EnrichmentStore) -> None:
    """Its views are rebuilt as soon as it is opened to be written."""
    written(store, *LATE)
    with duckdb.connect(str(store.path)) as connection:
        connection.execute(
            """
            create or replace view credits_by_day as
            select happened_at::date as day, sum(credits_used) as credits_used from request group by day
            """
        )
    assert store.check().filter(check="requests_count_once")["found"].item() == 1
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("delete from meta where name = 'schema_version' and value > '2'")
    assert sums(EnrichmentStore(store.path)) == {19.0}


def test_the_ledger_is_what_reconcile_takes(store: EnrichmentStore) -> None:
    """Column names and dtypes, also of an empty one, and a request that died in flight."""
    assert store.ledger().select(REQUESTS.names()).schema.keys() == REQUESTS.keys()
    assert reconcile(store.ledger(), now=LATER).is_empty()
    answered(store, 0, 10, 990)
    died = written(store, ("in flight", 1, {}))
    answered(store, 30, 10, 974)
    assert store.ledger()["closed_at"].null_count() == 1
    verdict = reconcile(store.ledger(), now=LATER)
    assert verdict.select("request_id", "state", "credits_used").rows() == [(died, "charged", 6.0)]


def test_the_counts_of_a_run_are_columns(store: EnrichmentStore) -> None:
    """Those that were avoided say by what; a run without a report, or with a broken one, has none."""
    ran(store, ("started", None), ("finished", json.dumps(REPORT)))
    ran(store, ("started", None), ("stopped", None))
    ran(store, ("started", None))
    ran(store, ("finished", "{broken"))
    runs = store.runs()
    finished = runs.filter(pl.col("people").is_not_null()).row(0, named=True)
    avoided = {"duplicates": 15, "store": 30, "failures": 3}
    assert {what: finished[f"avoided_by_{what}"] for what in avoided} == avoided
    same = REPORT.keys() - {"duplicates", "failed_remembered", "deferred_reason"}
    assert {name: finished[name] for name in same} == {name: REPORT[name] for name in same}
    assert json.loads(finished["summary"]) == REPORT
    assert sorted(runs["state"]) == ["finished", "finished", "started", "stopped"]
    assert runs["credits_used"].null_count() == 3
    assert runs["rows"].to_list() == [100] * 4


def test_the_columns_of_runs_do_not_depend_on_the_data(store: EnrichmentStore) -> None:
    """An empty store has the same."""
    empty = store.runs()
    ran(store, ("finished", json.dumps({"people": 80})))
    assert store.runs().schema == empty.schema
    assert store.runs()["suppressed"].to_list() == [None]


# --- the receipt -----------------------------------------------------------------------------------------


def test_an_empty_receipt(store: EnrichmentStore, shown: Callable[..., str]) -> None:
    """A store in which nothing was bought yet."""
    assert store.stats().requests == 0
    lines = receipt(store)
    assert (lines["requests"], lines["credits used"]) == ("0", "0")
    assert "balance" not in lines
    assert "duplicates" in shown()
    assert json.loads(shown("--format", "json")) == []


def test_the_receipt_counts_what_was_spent_and_what_was_not(store: EnrichmentStore) -> None:
    """Unknown ones at the most they may cost; charged ones without an answer apart from those with one."""
    ran(store, ("started", None), ("finished", json.dumps(REPORT)))
    ran(store, ("finished", json.dumps(REPORT)))
    answered(store, 0, 10, 1990)
    written(store, ("in flight", 1, {}), ("unknown", 2, {}), people=30)
    written(store, ("in flight", 1, {}), people=12)
    written(store, ("in flight", 1, {}), ("unknown", 2, {}), ("charged", 60, {"credits_used": 4.5}))
    written(store, ("in flight", 1, {}), ("unknown", 2, {}), ("not charged", 60, {"credits_used": 0.0}))
    answered(store, 40, 1200.5, 785)
    assert receipt(store) == {
        "runs": "2",
        "requests": "6",
        "credits used": "1,210.5",
        "avoided": "30 by duplicates, 60 by the store, 6 by remembered failures",
        "perhaps charged": "42 people in 2 requests, 42 credits at most",
        "no answer": "10 people in 1 requests, charged 4.5 credits",
        "balance": "the vendor's balance agrees with the ledger",
    }
    early = receipt(store, now=START + timedelta(minutes=5))
    assert early["requests"] == "6, 1 on their way"
    assert early["perhaps charged"] == "30 people in 1 requests, 30 credits at most"


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (980, "the vendor's balance agrees with the ledger"),
        (968, f"the balance fell by 12 credits more than the answers say: {MORE}"),
        (1480, "the vendor's balance agrees with the ledger; 500 credits were added meanwhile"),
        (None, "fewer than two answers tell it: there is nothing to compare yet"),
    ],
)
def test_the_balance_in_plain_words(store: EnrichmentStore, left: float | None, words: str) -> None:
    """Whether the vendor's numbers agree with each other."""
    answered(store, 0, 10, 990)
    answered(store, 30, 10, left)
    assert receipt(store)["balance"] == words


def test_a_charge_that_was_none_is_told(store: EnrichmentStore) -> None:
    """What was settled by hand may be wrong."""
    answered(store, 0, 10, 990)
    written(store, ("in flight", 1, {}), ("unknown", 2, {}), ("charged", 60, {"credits_used": 3.0}))
    answered(store, 30, 10, 980)
    assert receipt(store)["balance"] == "the balance fell by 3 credits less than the ledger says"


@pytest.mark.parametrize("sent", [1, 50], ids=["before", "after"])
def test_a_balance_says_nothing_of_requests_without_one_on_both_sides(
    sent: int, store: EnrichmentStore
) -> None:
    """A killed run's, where nobody knew the balance before, or nobody has asked since."""
    written(store, ("in flight", sent, {}), ("unknown", sent + 1, {}), people=400)
    answered(store, 10, 10, 990)
    answered(store, 30, 10, 980)
    said = receipt(store)["balance"]
    assert said.startswith("the vendor's balance agrees with the answers; whether 400 people were charged")
    assert "agrees with the ledger" not in said


def test_each_account_has_a_balance_of_its_own(store: EnrichmentStore) -> None:
    """Told by the beginning of its hash; what was written before there were accounts is one, too."""
    for minute, account in enumerate(("0123456789abcdef", "fedcba9876543210", None)):
        answered(store, minute, 10, 990 - 100 * minute, account=account)
        answered(store, minute + 30, 10, 980 - 101 * minute, account=account)
    lines = receipt(store)
    assert lines["balance of 01234567"] == "the vendor's balance agrees with the ledger"
    assert "fell by 1 credits more" in lines["balance of fedcba98"]
    assert "fell by 2 credits more" in lines["balance of no account"]


# --- the command -----------------------------------------------------------------------------------------


def test_the_receipt_of_a_run(store: EnrichmentStore, shown: Callable[..., str]) -> None:
    """What the sandbox charged is what the receipt says, newest request first, in lines that fit."""
    with Sandbox(limits=None) as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        leads = pl.DataFrame({"email": [f"lead{n}@acme.example" for n in (*range(60), 1, 2)]})
        Enricher(client, store).run(leads)
        charged = sandbox.credits_used
    text = shown()
    assert re.search(rf"^credits used +{charged:.0f} *$", text, flags=re.MULTILINE)
    assert "2 by duplicates" in text
    assert "the vendor's balance agrees with the ledger" in text
    assert text.count("answered") == 2
    assert max(map(len, text.splitlines())) <= 100


def test_the_last_requests_are_shown_newest_first(store: EnrichmentStore, shown: Callable[..., str]) -> None:
    """Twenty of them, and how many more there are; for a program all, oldest first."""
    for minute in range(23):
        answered(store, minute, 10, 990 - 10 * minute)
    text = shown()
    times = re.findall(r"2026-05-01 00:(\d\d):00", text)
    assert [int(minute) for minute in times] == list(range(22, 2, -1))
    assert "... and 3 more rows" in text
    table = pl.read_csv(io.BytesIO(shown("--format", "csv").encode()))
    assert table["credits_remaining"].to_list() == [990 - 10 * minute for minute in range(23)]
    rows = json.loads(shown("--format", "json"))
    assert [row["credits_remaining"] for row in rows] == table["credits_remaining"].to_list()
    assert list(rows[0]) == table.columns == store.ledger().columns


def test_a_lost_answer_is_on_the_receipt(store: EnrichmentStore) -> None:
    """By the command's own way: a reset after the vendor has charged."""
    with Sandbox(limits=None) as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        sandbox.inject(Fault("reset_after"))
        Enricher(client, store).run(pl.DataFrame({"email": ["lead@acme.example"]}))
    assert receipt(store)["perhaps charged"] == "1 people in 1 requests, 1 credits at most"


def test_a_store_that_is_not_there(
    store: EnrichmentStore, tmp_path: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """Looking creates no file."""
    missing = tmp_path / "missing.duckdb"
    assert main(["ledger", "--store", str(missing)]) == 4
    assert "There is no store" in capfd.readouterr().err
    assert not missing.exists()


def test_help_fits_a_screen(capfd: pytest.CaptureFixture[str]) -> None:
    """With an example, like every command."""
    assert main(["ledger", "--help"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    assert any("buena-pipeline ledger --store" in line for line in lines)
