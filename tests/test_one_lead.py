"""One lead at a time: what comes from memory is what the store says; threads that ask together pay once."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import filelock
import polars as pl
import pytest

from buena_pipeline import BuenaClient, Enricher, EnrichmentOptions, EnrichmentStore, RateLimits, Sandbox
from buena_pipeline.errors import AuthenticationError, InputError, SettingsError, StoreLockedError
from buena_pipeline.postings import Postings
from buena_pipeline.schema import ANSWER_ROWS, ENRICHED, IDENTITY_ROWS, REQUEST_ROWS
from tests.keys import key_of
from tests.torture.people import address, person_id
from tests.torture.processes import wait_until

JANE = {"email": "jane@acme.example"}
ROOT = Path(__file__).parent.parent


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A vendor who finds everybody."""
    with Sandbox(limits=None, not_found=0.0) as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[BuenaClient]:
    """A client without limits of its own."""
    with BuenaClient(sandbox.api_key, sandbox.url, limits=None) as ready:
        yield ready


def settle(store: EnrichmentStore) -> None:
    """Lets the last change of the store be some time ago, so that any other has another time."""
    for path in (store.path, store.path.with_name(f"{store.path.name}.wal"), *store.journals):
        if path.exists():
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns - 10_000_000_000))


@contextlib.contextmanager
def held(store: EnrichmentStore) -> Iterator[None]:
    """Nobody else gets at the file."""
    with filelock.FileLock(f"{store.path}.lock").acquire(timeout=0):
        yield


def together(calls: list[Callable[[], Any]]) -> list[Any]:
    """What these calls return or raise, all made at the same moment."""
    ready = threading.Barrier(len(calls))

    def made(call: Callable[[], Any]) -> Any:
        ready.wait(10)
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(made, calls))


# --- from memory ----------------------------------------------------------------------------------------


def test_what_was_found_lately_needs_no_file(client: BuenaClient, tmp_path: Path) -> None:
    """Known people and unknown ones; whoever was not asked for lately has to wait for the file."""
    store = EnrichmentStore(tmp_path / "buena.duckdb", lock_timeout=0.05)
    enricher = Enricher(client, store)
    bought = enricher.enrich_one(JANE)
    settle(store)
    stranger = {"email": "stranger@acme.example"}
    known = enricher.lookup(JANE)
    assert known == bought | {"status": "cached"}
    assert enricher.lookup(stranger) is None
    with held(store):
        assert enricher.lookup(dict(JANE)) == known
        assert enricher.enrich_one(JANE) == known
        assert enricher.lookup(stranger) is None
        with pytest.raises(StoreLockedError):
            enricher.lookup({"email": "JANE@acme.example"})
    assert list(known) == ENRICHED.names()


def test_a_store_that_has_just_changed_is_read_again(client: BuenaClient, tmp_path: Path) -> None:
    """Its time of change may be that of another change to come."""
    store = EnrichmentStore(tmp_path / "buena.duckdb", lock_timeout=0.05)
    enricher = Enricher(client, store)
    enricher.enrich_one(JANE)
    os.utime(store.path)
    assert enricher.lookup(JANE) is not None
    with held(store), pytest.raises(StoreLockedError):
        enricher.lookup(JANE)


def test_what_is_handed_out_is_the_callers(client: BuenaClient, store: EnrichmentStore) -> None:
    """Whatever they do to it, the next one gets what the store says."""
    enricher = Enricher(client, store, options=EnrichmentOptions(social=True))
    enricher.enrich_one(JANE)
    settle(store)
    first, second = enricher.lookup(JANE), enricher.lookup(JANE)
    assert first is not None
    assert first == second
    first["sources"].append("nowhere")
    first["social_profiles"][0]["url"] = "https://evil.example"
    first["title"] = "Nobody"
    assert enricher.lookup(JANE) == second


def test_so_many_leads_are_kept_and_no_more(store: EnrichmentStore) -> None:
    """The one that was not asked for longest goes first; very long ones are not kept at all."""
    enricher = Enricher(store=store)
    store.stats()
    settle(store)
    single = enricher._single_leads
    single._recent._most = 3
    for number in (1, 2, 3, 1, 4):
        assert enricher.lookup({"email": address(number)}) is None
    kept = [email for email, *_ in single._recent._values]
    assert kept == [address(3), address(1), address(4)]
    assert enricher.lookup({"email": address(5), "company": "x" * 5_000}) is None
    assert [email for email, *_ in single._recent._values] == kept


def run_elsewhere(script: str, *args: str) -> None:
    """Another process does something."""
    subprocess.run(
        [sys.executable, "-c", script, *args], check=True, cwd=ROOT, capture_output=True, text=True
    )


@pytest.mark.parametrize("how", ["forget", "suppress"])
def test_another_process_erases_or_suppresses_somebody(
    client: BuenaClient, store: EnrichmentStore, how: str
) -> None:
    """Nobody hears of them any more, not even once."""
    enricher = Enricher(client, store)
    enricher.enrich_one(JANE)
    settle(store)
    assert enricher.lookup(JANE) == enricher.lookup(JANE) is not None
    script = "import sys; from buena_pipeline import EnrichmentStore as Store; Store(sys.argv[1])"
    run_elsewhere(f"{script}.{how}(sys.argv[2])", str(store.path), JANE["email"])
    assert enricher.lookup(JANE) is None
    settle(store)
    assert enricher.lookup(JANE) is None
    assert len(enricher._single_leads._recent) == 1
    if how == "suppress":
        row = enricher.enrich_one(JANE)
        assert (row["status"], row["error"]) == ("suppressed", "on the do-not-enrich list")
        assert row["person_id"] == person_id(JANE["email"])
        assert not any(row[name] for name in ENRICHED if name not in {"status", "error", "person_id"})


def test_another_process_buys_somebody(sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore) -> None:
    """Who was unknown is known, and is not bought again."""
    enricher = Enricher(client, store)
    store.stats()
    settle(store)
    assert enricher.lookup(JANE) is enricher.lookup(JANE) is None
    script = """
import sys
from buena_pipeline import BuenaClient, Enricher
with BuenaClient(sys.argv[1], sys.argv[2]) as client:
    Enricher(client, sys.argv[3]).enrich_one({"email": sys.argv[4]})
"""
    run_elsewhere(script, sandbox.api_key, sandbox.url, str(store.path), JANE["email"])
    assert enricher.enrich_one(JANE)["status"] == "cached"
    assert sandbox.charges()["count"].to_list() == [1]


def answered(lead: dict[str, str], at: datetime, *, found: bool = True) -> dict[str, pl.DataFrame]:
    """What is written when an answer about somebody comes."""
    request = {"request_id": "00000000-0000-0000-0000-000000000001", "person_id": person_id(lead["email"])}
    blocks = dict.fromkeys(("has_personal", "has_company", "has_contact"), True) | {"has_social": False}
    answer = request | blocks | {"answered_at": at, "found": found, "reason": None if found else "not found"}
    key = request | {"kind": "email", "key": key_of("email", lead["email"]), "known_at": at}
    return {
        "new_request": pl.DataFrame([request | {"state": "answered"}], schema=REQUEST_ROWS),
        "new_answer": pl.DataFrame([answer], schema=ANSWER_ROWS),
        "new_identity": pl.DataFrame([key], schema=IDENTITY_ROWS),
    }


def test_answers_that_wait_in_the_journal_are_taken_in(store: EnrichmentStore) -> None:
    """Before a lead is called unknown, by whom it was called so before, too."""
    enricher = Enricher(store=store)
    store.stats()
    settle(store)
    assert enricher.lookup(JANE) is enricher.lookup(JANE) is None
    frames = answered(JANE, datetime.now(UTC))
    body = json.dumps({"input": JANE, "enrichedData": JANE})
    answers = [row | {"body": body} for row in frames["new_answer"].to_dicts()]
    store.keep(Postings(request=frames["new_request"].to_dicts(), answer=answers))
    assert enricher.lookup(JANE) is not None
    assert EnrichmentStore(store.path, read_only=True).stats().people == 1


# --- as time goes by --------------------------------------------------------------------------------------


def status_of(enricher: Enricher, lead: dict[str, str]) -> str:
    """What becomes of a lead, where nobody can be bought: there is no key."""
    try:
        return str(enricher.enrich_one(lead)["status"])
    except SettingsError:
        return "to buy"


def test_who_gets_too_old_is_not_served_from_memory(store: EnrichmentStore) -> None:
    """A lookup still tells what is known."""
    bought = datetime.now(UTC) - timedelta(days=10)
    store.commit(**answered(JANE, bought))
    settle(store)
    assert status_of(Enricher(store=store, max_age=None), JANE) == "cached"
    enricher = Enricher(store=store, max_age=datetime.now(UTC) - bought + timedelta(seconds=1.5))
    assert status_of(enricher, JANE) == "cached"
    wait_until(lambda: status_of(enricher, JANE) == "to buy")
    assert enricher.lookup(JANE) is not None
    assert len(enricher._single_leads._recent) == 1


def test_a_failure_is_remembered_for_as_long_as_was_said(store: EnrichmentStore) -> None:
    """With the words of a run over a table."""
    asked = datetime.now(UTC) - timedelta(days=10)
    store.commit(**answered(JANE, asked, found=False))
    by_table = Enricher(store=store).run(pl.DataFrame(JANE)).frame.drop("email")
    settle(store)
    enricher = Enricher(store=store, retry_failed_after=datetime.now(UTC) - asked + timedelta(seconds=1.5))
    row = enricher.enrich_one(JANE)
    assert row == by_table.rename(lambda name: name.removeprefix("buena_")).row(0, named=True)
    assert row["status"] == "failed"
    assert "remembered" in row["error"]
    assert enricher.lookup(JANE) is None
    wait_until(lambda: status_of(enricher, JANE) == "to buy")


def test_a_clock_that_was_put_back_makes_nobody_older(
    store: EnrichmentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was decided later than now is decided again."""
    store.commit(**answered(JANE, datetime.now(UTC)))
    settle(store)
    enricher = Enricher(store=store)
    assert enricher.enrich_one(JANE)["status"] == "cached"
    (known,) = enricher._single_leads._recent._values.values()
    verdict = known.verdict
    assert enricher.enrich_one(JANE)["status"] == "cached"
    assert known.verdict is verdict
    known.verdict = type(verdict)(None, None, verdict.since + timedelta(days=1), verdict.until)
    assert enricher.enrich_one(JANE)["status"] == "cached"


# --- like a table of one row ------------------------------------------------------------------------------


def test_a_lead_that_nothing_identifies_is_invalid(store: EnrichmentStore) -> None:
    """As its row in a table would be."""
    row = Enricher(store=store).enrich_one({"email": "n/a", "first_name": "Jane"})
    by_table = Enricher(store=store).run(pl.DataFrame({"email": ["n/a"]})).frame.drop("email")
    assert row == by_table.rename(lambda name: name.removeprefix("buena_")).row(0, named=True)


def test_a_new_key_of_somebody_who_is_known_is_learned(
    sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """Nobody pays for the same person under another identifier; then the lead comes from memory, too."""
    enricher = Enricher(client, store)
    enricher.enrich_one(JANE)
    at_home = {"email": "jane@home.example"}
    both = {"email": "jane@acme.example; jane@home.example"}
    statuses = [enricher.enrich_one(lead)["status"] for lead in (JANE, both, both, at_home)]
    assert statuses == ["cached"] * 4
    assert sandbox.credits_used == 1
    # one bought, one learned
    assert store.runs()["state"].to_list() == ["finished"] * 2


def test_what_is_for_tables_does_not_bear_on_single_leads(
    client: BuenaClient, store: EnrichmentStore
) -> None:
    """One enricher serves both."""
    enricher = Enricher(
        client, store, columns={"email": "Work Mail"}, priority=pl.col("deal_size"), prefix="", max_credits=1
    )
    assert enricher.enrich_one(JANE)["status"] == "enriched"
    assert enricher.enrich_one(JANE)["status"] == "cached"


def test_a_store_may_be_read_only(client: BuenaClient, store: EnrichmentStore) -> None:
    """What is known is served, also under a key that cannot be learned."""
    Enricher(client, store).enrich_one(JANE)
    reading = Enricher(store=EnrichmentStore(store.path, read_only=True))
    assert reading.enrich_one({"email": "jane@acme.example; jane@home.example"})["status"] == "cached"
    assert reading.lookup({"email": "stranger@acme.example"}) is None


def test_nothing_that_is_kept_shows_in_a_repr(client: BuenaClient, store: EnrichmentStore) -> None:
    """Logs and tracebacks of services show reprs."""
    enricher = Enricher(client, store)
    enricher.enrich_one(JANE)
    settle(store)
    known = enricher.lookup(JANE)
    assert known is not None
    single = enricher._single_leads
    (kept,) = single._recent._values.values()
    shown = " ".join(
        map(repr, (enricher, single, single._recent, single._buying, kept, kept.finding, kept.verdict))
    )
    assert "jane" not in shown.lower()
    assert str(known["company"]) not in shown


# --- many at once -----------------------------------------------------------------------------------------


def test_ten_threads_that_ask_for_one_lead_pay_once(
    sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """However they spell it; all of them are told the same."""
    enricher = Enricher(client, store)
    spellings = [
        "Jane@acme.example",
        "jane+x@acme.example",
        " JANE@ACME.EXAMPLE",
        "<jane@acme.example>",
        "mailto:jane@acme.example",
    ]
    rows = together([lambda email=email: enricher.enrich_one({"email": email}) for email in spellings * 2])
    assert sandbox.charges()["count"].to_list() == [1]
    assert {row["status"] for row in rows} <= {"enriched", "cached"}
    assert all(row | {"status": ""} == rows[0] | {"status": ""} for row in rows)


def test_who_comes_while_a_lead_is_being_bought_gets_its_answer(store: EnrichmentStore) -> None:
    """One request for all of them, and one answer."""
    with Sandbox(limits=None, not_found=0.0, latency=0.4) as sandbox:
        with BuenaClient(sandbox.api_key, sandbox.url) as client, ThreadPoolExecutor(5) as pool:
            enricher = Enricher(client, store)
            first = pool.submit(enricher.enrich_one, JANE)
            wait_until(lambda: sandbox.requests == 1)
            others = [pool.submit(enricher.enrich_one, {"email": f"jane+{n}@acme.example"}) for n in range(4)]
            rows = [future.result() for future in (first, *others)]
        assert sandbox.requests == 1
    assert [row["status"] for row in rows] == ["enriched"] * 5
    assert all(row == rows[0] for row in rows)
    rows[0]["sources"].append("nowhere")
    assert rows[1] != rows[0]


def test_fifty_leads_at_once_take_a_few_requests(store: EnrichmentStore) -> None:
    """A vendor who allows sixty a minute serves thousands."""
    with Sandbox(limits=None, not_found=0.0, latency=0.3) as sandbox:
        with BuenaClient(sandbox.api_key, sandbox.url) as client:
            enricher = Enricher(client, store)
            rows = together([lambda n=n: enricher.enrich_one({"email": address(n)}) for n in range(50)])
        assert sandbox.requests <= 4
        assert sandbox.charges().height == sandbox.credits_used == 50
    assert [row["status"] for row in rows] == ["enriched"] * 50
    assert [row["person_id"] for row in rows] == [person_id(address(n)) for n in range(50)]


def test_everybody_has_their_own_budget(store: EnrichmentStore) -> None:
    """Who shared a request would share it."""
    with Sandbox(limits=None, not_found=0.0, latency=0.1) as sandbox:
        with BuenaClient(sandbox.api_key, sandbox.url) as client:
            enricher = Enricher(client, store, max_credits=1)
            enricher.enrich_one(JANE)  # tells what a lead costs
            rows = together([lambda n=n: enricher.enrich_one({"email": address(n)}) for n in range(6)])
            broke = Enricher(client, store, max_credits=0)
            refused = together([lambda n=n: broke.enrich_one({"email": address(10 + n)}) for n in range(6)])
        assert sandbox.credits_used == 7
    assert [row["status"] for row in rows] == ["enriched"] * 6
    assert [row["error"] for row in refused] == ["the budget max_credits reaches no further"] * 6


def test_a_wrong_key_is_told_to_everybody_who_waits(store: EnrichmentStore) -> None:
    """And to nobody who does not; the next one tries again."""
    with Sandbox(limits=None, latency=0.2) as sandbox, BuenaClient("bna_wrong", sandbox.url) as client:
        enricher = Enricher(client, store)
        leads = [JANE, JANE, {"email": "john@acme.example"}, {"email": "not one"}, {"phone": "1"}]
        told = together([lambda lead=lead: enricher.enrich_one(lead) for lead in leads])
        assert [type(what) for what in told[:3]] == [AuthenticationError] * 3
        assert told[3]["status"] == "invalid"
        assert isinstance(told[4], InputError)
        with pytest.raises(AuthenticationError):
            enricher.enrich_one(JANE)


def test_a_rate_limit_defers_everybody_who_waits(store: EnrichmentStore) -> None:
    """With the reason of a run over a table."""
    limits = RateLimits(minute=1)
    with Sandbox(limits=limits, not_found=0.0, now=lambda: 0.0) as sandbox:
        with BuenaClient(sandbox.api_key, sandbox.url, limits=limits) as client:
            enricher = Enricher(client, store, max_wait=0)
            assert enricher.enrich_one(JANE)["status"] == "enriched"
            rows = together([lambda n=n: enricher.enrich_one({"email": address(n)}) for n in range(5)])
        assert sandbox.credits_used == 1
    assert {(row["status"], row["error"]) for row in rows} == {
        ("deferred", "the vendor's rate limit is used up")
    }


def test_known_people_do_not_wait_for_those_who_are_bought(store: EnrichmentStore) -> None:
    """The vendor takes its time; the store does not."""
    store.commit(**answered(JANE, datetime.now(UTC)))
    with (
        Sandbox(limits=None, not_found=0.0, latency=1.0) as sandbox,
        BuenaClient(sandbox.api_key, sandbox.url) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        enricher = Enricher(client, store)
        slow = pool.submit(enricher.enrich_one, {"email": address(1)})
        wait_until(lambda: sandbox.requests == 1)
        assert enricher.enrich_one(JANE)["status"] == "cached"
        assert enricher.lookup(JANE) is not None
        assert not slow.done()
        assert slow.result()["status"] == "enriched"


def test_tables_and_single_leads_at_once(
    sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """One enricher, many threads: nobody is paid for twice."""
    enricher = Enricher(client, store)
    table = pl.DataFrame({"email": [address(n) for n in range(30)]})
    calls: list[Callable[[], Any]] = [lambda: enricher.run(table)] * 2
    calls += [lambda n=n: enricher.enrich_one({"email": address(n)})["status"] for n in range(20, 40)]
    calls += [lambda n=n: enricher.lookup({"email": address(n)}) for n in range(10)]
    told = together(calls)
    assert not [what for what in told if isinstance(what, Exception)]
    assert sandbox.charges()["count"].to_list() == [1] * 40


def test_an_interrupt_of_the_one_who_buys_leaves_nobody_waiting(tmp_path: Path) -> None:
    """A real SIGINT: the main thread stops when the answer is in the store, and the others are served."""
    store = EnrichmentStore(tmp_path / "buena.duckdb")
    main = threading.get_ident()
    with Sandbox(limits=None, not_found=0.0, latency=0.5) as sandbox:
        with BuenaClient(sandbox.api_key, sandbox.url) as client, ThreadPoolExecutor(3) as pool:
            enricher = Enricher(client, store)

            def follow_and_strike() -> list[dict[str, Any]]:
                wait_until(lambda: sandbox.requests == 1)
                followers = [
                    pool.submit(enricher.enrich_one, {"email": email})
                    for email in ("Jane@acme.example", address(1))
                ]
                wait_until(lambda: len(enricher._single_leads._buying._leaders) == 2)
                signal.pthread_kill(main, signal.SIGINT)
                return [follower.result(30) for follower in followers]

            others = pool.submit(follow_and_strike)
            with pytest.raises(KeyboardInterrupt):
                enricher.enrich_one(JANE)
            rows = others.result()
        assert sandbox.charges()["count"].to_list() == [1, 1]
    assert [row["status"] for row in rows] == ["cached", "enriched"]


def test_an_enricher_that_is_closed_says_so(monkeypatch: pytest.MonkeyPatch, store: EnrichmentStore) -> None:
    """While others buy: they get what they have paid for. What is known is told as before."""
    with Sandbox(limits=None, not_found=0.0, latency=0.3) as sandbox, ThreadPoolExecutor(2) as pool:
        monkeypatch.setenv("BUENA_API_KEY", sandbox.api_key)
        monkeypatch.setenv("BUENA_BASE_URL", sandbox.url)
        enricher = Enricher(store=store)
        first = pool.submit(enricher.enrich_one, JANE)
        wait_until(lambda: sandbox.requests == 1)
        enricher.close()
        assert first.result()["status"] == "enriched"
        for _ in range(2):
            with pytest.raises(SettingsError, match="The Enricher is closed"):
                enricher.enrich_one({"email": address(1)})
        with pytest.raises(SettingsError, match="The Enricher is closed"):
            enricher.run(pl.DataFrame({"email": [address(1)]}))
        assert enricher.enrich_one(JANE)["status"] == "cached"
        assert sandbox.credits_used == 1


def test_threads_that_need_a_client_make_one(monkeypatch: pytest.MonkeyPatch, store: EnrichmentStore) -> None:
    """Not one each, of which all but one would never be closed."""
    with Sandbox(limits=None, not_found=0.0) as sandbox:
        monkeypatch.setenv("BUENA_API_KEY", sandbox.api_key)
        monkeypatch.setenv("BUENA_BASE_URL", sandbox.url)
        with Enricher(store=store) as enricher:
            clients = together([enricher._client.get] * 8)
            assert {id(client) for client in clients} == {id(clients[0])}
            assert enricher.enrich_one(JANE)["status"] == "enriched"
    with pytest.raises(SettingsError, match="closed"):
        clients[0].enrich([JANE], EnrichmentOptions())
