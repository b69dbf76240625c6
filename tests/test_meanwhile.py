"""What others do to a store while a run goes on: noticed before anybody is paid for, and nothing is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import httpx
import polars as pl
import pytest

from buena_pipeline import BuenaClient, Enricher, EnrichmentProgress, EnrichmentStore, Sandbox, plan_frame
from buena_pipeline.entries import Account
from buena_pipeline.errors import SettingsError
from buena_pipeline.ledger import Ledger
from buena_pipeline.store import Transaction
from tests.torture.people import address, table_of
from tests.torture.processes import wait_until


def once(act: Callable[[], object]) -> Callable[[EnrichmentProgress], None]:
    """A progress callback that does something when the first answer is there."""
    acts = iter([act])

    def progress(_: EnrichmentProgress) -> None:
        for do in acts:
            do()

    return progress


@pytest.fixture
def sandbox() -> Sandbox:
    """A vendor who finds everybody, whatever is asked of it first."""
    with Sandbox(limits=None, not_found=0.0, latency=0.02) as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> BuenaClient:
    """A client that sends one request after the other."""
    with BuenaClient(sandbox.api_key, sandbox.url, limits=None, concurrency=1) as ready:
        yield ready


def paid_twice(sandbox: Sandbox) -> list[str]:
    """Who was, by the vendor's own count."""
    return sandbox.charges().filter(pl.col("count") > 1)["lead"].to_list()


def test_a_run_goes_on_where_all_of_a_turn_is_left_alone(
    sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """Whole batches are suppressed meanwhile; whoever comes after them is bought."""
    people = range(100, 450)
    progress = once(lambda: store.suppress([address(number) for number in people]))
    frame = Enricher(client, store, progress=progress).run(table_of(range(700))).frame
    statuses = dict(frame["buena_status"].cast(pl.String).value_counts().rows())
    assert statuses.keys() == {"enriched", "suppressed"}
    assert statuses["suppressed"] >= 250  # some were on their way already
    assert sandbox.credits_used == statuses["enriched"]


def test_three_threads_with_one_table_serve_everybody(sandbox: Sandbox, store: EnrichmentStore) -> None:
    """Each leaves to the others what they are buying, and nobody is left out."""
    frames: list[pl.DataFrame] = []

    def run() -> None:
        with BuenaClient(sandbox.api_key, sandbox.url, limits=None, concurrency=2) as client:
            frames.append(Enricher(client, store).run(table_of(range(300))).frame)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [set(frame["buena_status"]) <= {"enriched", "cached"} for frame in frames] == [True] * 3
    assert sandbox.credits_used == 300


def test_an_alias_that_an_answer_reveals_is_not_bought_by_the_same_run(store: EnrichmentStore) -> None:
    """The last row is somebody whom the first request has told under another address."""
    ann = {"firstName": "Ann", "lastName": "Bo", "email": "a@x.example", "alternativeEmails": ["b@y.example"]}
    mails = ["a@x.example", *(address(number) for number in range(200)), "b@y.example"]
    with (
        Sandbox(limits=None, not_found=0.0, people={"a@x.example": ann}) as sandbox,
        BuenaClient(sandbox.api_key, sandbox.url, limits=None, concurrency=1) as client,
    ):
        frame = Enricher(client, store).run(pl.DataFrame({"email": mails})).frame
        assert paid_twice(sandbox) == []
        assert sandbox.credits_used == 201
    first, last = frame[0], frame[-1]
    assert first["buena_person_id"].item() == last["buena_person_id"].item()
    assert first["buena_status"].item() == last["buena_status"].item() == "enriched"
    assert last["buena_first_name"].item() == "Ann"


def test_a_list_that_changes_and_stays_as_long_is_noticed(
    sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """One leaves the list of those who must not be enriched, another one is put on it."""
    store.suppress("old@x.example")

    def change() -> None:
        store.unsuppress("old@x.example")
        store.suppress(address(390))

    frame = Enricher(client, store, progress=once(change)).run(table_of(range(400))).frame
    assert frame.filter(pl.col("email") == address(390))["buena_status"].item() == "suppressed"
    assert f"email:{address(390)}" not in sandbox.charges()["lead"].to_list()


def test_whoever_is_forgotten_on_the_way_comes_back_whole(store: EnrichmentStore) -> None:
    """The answer is paid for: it is found by what was asked with, not bought again, and can be erased."""
    lead = {"email": "jane@acme.example", "linkedin_url": "linkedin.com/in/jane-1"}
    jane = {"firstName": "Jane", "linkedinUrl": "https://linkedin.com/in/jane-1"}  # not her address
    with (
        Sandbox(limits=None, latency=0.5, people={"jane@acme.example": jane}) as sandbox,
        BuenaClient(sandbox.api_key, sandbox.url, limits=None) as client,
    ):
        run = threading.Thread(target=Enricher(client, store).run, args=[pl.DataFrame([lead])])
        run.start()
        wait_until(lambda: sandbox.requests)
        assert store.forget("jane@acme.example") == 1
        run.join()
        assert store.check().filter(~pl.col("ok"))["check"].to_list() == []
        again = Enricher(client, store).run(pl.DataFrame({"email": ["jane@acme.example"]})).frame
        assert again["buena_status"].item() == "cached"
        assert sandbox.charges()["count"].to_list() == [1]
    assert store.forget("jane@acme.example") == 1
    assert store.sql("select count(*) from answer").item() == 0


def test_whoever_is_forgotten_before_they_are_served_is_told(
    sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """Known when the run began, erased when it ends: no empty row without a reason, and no key comes back."""
    known = pl.DataFrame(
        {"email": [address(1)], "other mail": [None]}, schema_overrides={"other mail": pl.String}
    )
    columns = {"email": ["email", "other mail"]}
    Enricher(client, store, columns=columns).run(known)
    table = pl.DataFrame({"email": [address(1), address(2)], "other mail": ["new@x.example", None]})
    progress = once(lambda: store.forget(address(1)))
    frame = Enricher(client, store, columns=columns, progress=progress).run(table).frame
    assert frame["buena_status"].to_list() == ["deferred", "enriched"]
    assert "erased from the store" in frame["buena_error"][0]
    assert store.forget(address(1)) == 0
    assert store.check().filter(~pl.col("ok"))["check"].to_list() == []


def test_a_client_that_is_closed_meanwhile_costs_nobody_a_doubt(
    sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """Requests that were entered and never sent are known as such."""
    with pytest.raises(SettingsError, match="closed"):
        Enricher(client, store, progress=once(client.close)).run(table_of(range(400)))
    assert set(store.ledger()["state"]) <= {"answered", "failed"}
    assert store.stats().people == sandbox.credits_used
    plan = plan_frame(table_of(range(400)), store=store)
    assert (plan.unknown, plan.to_buy) == (0, 400 - sandbox.credits_used)


def test_a_run_that_breaks_before_anything_happened_has_nothing_to_write(store: EnrichmentStore) -> None:
    """No file is made for it."""
    account = Account("account", None, timedelta(minutes=1))
    Ledger(store, run_id="run", account=account, decide=lambda *_: pl.DataFrame()).write_or_keep()
    assert not store.path.exists()


class Insisted(EnrichmentStore):
    """A store whose user presses Ctrl-C once more, when the run is about to write what came."""

    insist = False

    def transaction(self, *, lock_timeout: float | None = None) -> Transaction:
        """A turn, or the interrupt."""
        if self.insist:
            raise KeyboardInterrupt
        return super().transaction(lock_timeout=lock_timeout)


def test_answers_are_kept_whoever_insists_on_stopping(
    sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """They go to the journal, and the next run takes them in."""
    insisted = Insisted(store.path)

    def stop() -> None:
        insisted.insist = True
        raise RuntimeError("the display broke")

    with pytest.raises(KeyboardInterrupt):
        Enricher(client, insisted, progress=once(stop)).run(table_of(range(300)))
    result = Enricher(client, store).run(table_of(range(300)))
    assert result.report.unknown == 0
    assert set(result.frame["buena_status"]) <= {"enriched", "cached"}
    assert sandbox.credits_used == 300
    assert paid_twice(sandbox) == []


class Late(BuenaClient):
    """A client for a run that is overtaken between its plan and its first turn."""

    def overtaken_by(self, run: Callable[[], object]) -> Late:
        """Says what is done then."""
        self._acts = iter([run])
        return self

    @property
    def longest(self) -> float:
        """Asked for when the plan is made, and buying begins."""
        for act in self._acts:
            act()
        return 300.0

    @longest.setter
    def longest(self, _: float) -> None: ...


def test_what_came_since_a_run_began_is_fresh_for_it(
    sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """With a maximum age of nothing at all, two runs at once still buy everybody once."""
    enricher = Enricher(client, store, max_age=timedelta(0))
    with Late(sandbox.api_key, sandbox.url, limits=None) as late:
        late.overtaken_by(lambda: enricher.run(table_of(range(20))))
        report = Enricher(late, store, max_age=timedelta(0)).run(table_of(range(20))).report
    assert (report.cached, report.enriched, sandbox.credits_used) == (20, 0, 20)
    assert enricher.run(table_of(range(20))).report.enriched == 20


def test_a_price_that_another_run_learns_meanwhile_counts(store: EnrichmentStore) -> None:
    """Planned when nobody knew it: the budget of the day is kept by what the ledger says by then."""
    with (
        Sandbox(limits=None, not_found=0.0, credits_per_lead=5) as sandbox,
        BuenaClient(sandbox.api_key, sandbox.url, limits=None) as client,
        Late(sandbox.api_key, sandbox.url, limits=None) as late,
    ):
        late.overtaken_by(lambda: Enricher(client, store).run(table_of(range(1000, 1020))))
        Enricher(late, store, daily_credits=104).run(table_of(range(30)))
        assert sandbox.credits_used == 100


def test_what_a_lookup_finds_is_served_from_the_store(store: EnrichmentStore) -> None:
    """Whether it would be bought anew is another question."""
    found = httpx.MockTransport(
        lambda _: httpx.Response(
            200,
            json={
                "data": {
                    "enriched": [{"input": {"email": address(1)}, "enrichedData": {"title": "CTO"}}],
                    "creditsUsed": 1,
                }
            },
        )
    )
    with BuenaClient("key", "http://vendor.example", found) as client:
        Enricher(client, store).enrich_one({"email": address(1)})
    known = Enricher(store=store, max_age=timedelta(0)).lookup({"email": address(1)})
    assert known is not None
    assert (known["status"], known["error"], known["title"]) == ("cached", None, "CTO")
