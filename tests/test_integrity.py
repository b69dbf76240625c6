"""The store's examination: clean after real runs, and each kind of damage is found by its name."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
import uuid
from datetime import timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from buena_pipeline import BuenaClient, Enricher, EnrichmentOptions, EnrichmentStore, Sandbox
from buena_pipeline.cli.doctor import Check, examine
from buena_pipeline.errors import NotAStoreError, StoreDamagedError
from buena_pipeline.sandbox import Fault
from buena_pipeline.schema import CHECKS
from buena_pipeline.store import integrity

NIL = "00000000-0000-0000-0000-000000000000"
STRANGER = str(uuid.uuid5(uuid.NAMESPACE_DNS, "stranger"))

LEADS = pl.DataFrame(
    {
        "email": [f"person{number}@acme{number % 7}.example" for number in range(60)],
        "first_name": [f"First{number}" for number in range(60)],
        "last_name": [f"Last{number}" for number in range(60)],
        "company": [f"Acme {number % 7}" for number in range(60)],
    }
)


@pytest.fixture(scope="module")
def bought(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a store after two real runs: some found, some not, one block bought later."""
    store = EnrichmentStore(tmp_path_factory.mktemp("bought") / "buena.duckdb")
    with Sandbox(limits=None) as sandbox, BuenaClient(sandbox.api_key, sandbox.url) as client:
        Enricher(client, store).run(LEADS)
        Enricher(client, store, options=EnrichmentOptions(social=True)).run(LEADS[:20])
    return store.path


@pytest.fixture
def filled(bought: Path, tmp_path: Path) -> EnrichmentStore:
    """A copy of it."""
    return EnrichmentStore(shutil.copy(bought, tmp_path / "filled.duckdb"), lock_timeout=20)


def change(store: EnrichmentStore, statement: str) -> None:
    """Somebody writes into the file by hand."""
    with duckdb.connect(str(store.path)) as connection:
        connection.execute(statement)


def failed(store: EnrichmentStore) -> dict[str, int | None]:
    """The checks that are not ok, and how much each found."""
    return dict(store.check().filter(~pl.col("ok")).select("check", "found").rows())


def test_a_store_after_real_runs_is_clean(filled: EnrichmentStore) -> None:
    """Every check is made and finds nothing, also through a read-only store."""
    report = filled.check()
    assert report.schema == CHECKS
    assert report.filter(~pl.col("ok")).is_empty(), report
    assert set(report["found"]) == {0}
    assert report["check"].is_unique().all()
    assert EnrichmentStore(filled.path, read_only=True).check().equals(report)


def test_an_empty_store_is_clean(store: EnrichmentStore) -> None:
    """Nothing is missing where nothing is."""
    assert failed(store) == {}


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", times=None),
        Fault("invalid_lead", index=2),
        Fault("no_credits", remaining=3),
        Fault("truncate"),
        Fault("reset_after"),
        Fault("empty"),
        Fault("drop", count=3),
        Fault("extra", count=3),
    ],
    ids=lambda fault: fault.kind,
)
def test_faults_of_the_vendor_leave_a_clean_store(
    sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore, fault: Fault
) -> None:
    """Refusals, lost answers and the end of the credits are books well kept, also after another try."""
    sandbox.inject(fault)
    for _ in range(2):
        Enricher(client, store, retry_unknown=True).run(LEADS)
        sandbox.clear_faults()
    assert store.ledger().height >= 2
    assert failed(store) == {}


def test_every_check_says_what_it_proves_and_what_it_means(filled: EnrichmentStore) -> None:
    """Two sentences of comment over each query, and the names are those the doctor knows."""
    queries = integrity._queries()
    for claim, meaning, _ in queries.values():
        assert claim.endswith(".")
        assert meaning.endswith(".")
    assert set(filled.check()["check"]) > integrity.RESOLVE_THEMSELVES | set(queries)


DAMAGE = {
    "answers_belong_to_requests": [
        "delete from request where state = 'answered' and request_id = (select min(request_id) from answer)",
        f"update answer set request_id = '{STRANGER}' where person_id = (select min(person_id) from answer)",
    ],
    "bodies_belong_to_requests": [f"insert into response values ('{STRANGER}', null, now(), '{{}}')"],
    "answers_have_bodies": ["delete from response where person_id = (select min(person_id) from response)"],
    "bodies_have_answers": ["delete from answer where person_id = (select min(person_id) from answer)"],
    "answers_were_asked_for": [
        f"update answer set person_id = '{STRANGER}' where person_id = (select min(person_id) from answer)",
        "update answer set has_social = true where not has_social",
        "update request set people = [] where request_id = (select min(request_id) from answer)",
    ],
    "answers_come_once": ["insert into answer from answer limit 1"],
    "found_are_not_more_than_asked": [
        "insert into answer from answer where found",
        "update request set people = people[:2]",
    ],
    "keys_belong_to_people": [
        f"update identity set person_id = '{STRANGER}' where key = (select min(key) from identity)",
        "update identity set person_id = null where key = (select min(key) from identity)",
    ],
    "keys_belong_to_requests": [
        f"update identity set request_id = '{STRANGER}' where key = (select min(key) from identity)",
    ],
    "requests_have_one_outcome": [
        "delete from request where state = 'in flight'",
        "insert into request from request where state = 'answered' limit 1",
        """
        insert into request select * replace ('failed' as state, now() as happened_at)
        from request where state = 'answered' limit 1
        """,
        "update request set state = null where state = 'answered'",
        """
        insert into request select * replace ('charged' as state, now() as happened_at)
        from request where state = 'answered' limit 1
        """,
    ],
    "credits_are_amounts": [
        "update request set credits_used = -1 where state = 'answered'",
        "update request set credits_used = 'nan' where state = 'answered'",
        "update request set credits_used = 3 where state = 'in flight'",
    ],
    "credits_agree_with_runs": [
        "update request set credits_used = credits_used + 1 where state = 'answered'",
        "update run set summary = json_merge_patch(summary, '{\"credits_used\": 1e9}')",
        "delete from request",
    ],
    "requests_count_once": [
        "create or replace view credits_by_day as select 2 * credits_used as credits_used from request",
        """
        create or replace view newest_request as
        select * replace (credits_used + 1 as credits_used) from request
        """,
    ],
    "requests_belong_to_runs": [
        "delete from run where state = 'started'",
        "update request set run_id = null",
    ],
    "links_lead_to_people": [
        f"insert into link select person_id, '{STRANGER}', now() from answer limit 1",
        f"insert into link select '{STRANGER}', person_id, now() from answer limit 1",
        "insert into link select person_id, person_id, now() from answer limit 1",
    ],
    "links_are_one_step": [
        """
        insert into link select min(person_id), max(person_id), now() from answer
        union all select max(person_id), arg_max(person_id, email), now() from answer
        """,
    ],
    "suppression_can_be_read": [
        f"insert into suppression values ('{'0' * 64}', now(), null)",
        """
        insert into meta values ('suppression_secret', 'x');
        insert into suppression values ('jane', now(), null);
        """,
    ],
    "nobody_was_charged_twice": [
        """
        insert into request select * replace (md5(request_id::text)::uuid as request_id) from request;
        insert into response select * replace (md5(request_id::text)::uuid as request_id) from response;
        insert into answer select * replace (
            md5(request_id::text)::uuid as request_id, answered_at + interval 1 day as answered_at
        ) from answer
        """,
    ],
    "nothing_is_in_flight_for_long": [
        """
        delete from request where state <> 'in flight';
        update request set lease_until = now() - interval 25 hours
        """,
    ],
}


@pytest.mark.parametrize(
    ("name", "statement"),
    [(name, statement) for name, statements in DAMAGE.items() for statement in statements],
)
def test_each_damage_is_found_by_its_name(filled: EnrichmentStore, name: str, statement: str) -> None:
    """And told in a sentence that holds nobody's data."""
    change(filled, statement)
    found = failed(filled)
    assert found.get(name), found
    told = filled.check().filter(pl.col("check") == name)["detail"].item()
    assert told.startswith(f"Not so for {found[name]:,}: ")
    assert "@" not in told


def test_every_query_has_its_damage() -> None:
    """A check that nothing can fail proves nothing."""
    assert set(DAMAGE) == set(integrity._queries())


def test_an_unknown_request_may_be_settled_and_even_answered_later(filled: EnrichmentStore) -> None:
    """By the credits that are left, or by its answer out of the journal."""
    settled = ([], ["charged"], ["not charged"], ["answered"], ["charged", "answered"])
    for number, later in enumerate(settled):
        lines = [
            f"('{uuid.UUID(int=number + 1)}'::uuid, (select any_value(run_id) from run), '{state}',"
            f" now() + interval {step} second, [])"
            for step, state in enumerate(["in flight", "unknown", *later])
        ]
        change(
            filled,
            "insert into request (request_id, run_id, state, happened_at, people) values " + ", ".join(lines),
        )
    assert failed(filled) == {}


@pytest.mark.parametrize(
    "jump",
    [
        "state <> 'in flight'",
        "state = 'in flight'",
        "state = 'unknown'",
        "state not in ('unknown', 'in flight')",
        "true",
    ],
)
@pytest.mark.parametrize("days", [-3, 3])
def test_a_clock_that_jumped_is_no_damage(filled: EnrichmentStore, jump: str, days: int) -> None:
    """Between any two changes of a request, or between the end of a run and all of them."""
    states = ("in flight", "unknown", "charged", "answered")
    lines = [
        f"('{uuid.UUID(int=1)}'::uuid, (select any_value(run_id) from run), '{state}', now(), now(), [],"
        f" {'0' if state in ('charged', 'answered') else 'null'})"
        for state in states
    ]
    columns = "request_id, run_id, state, happened_at, lease_until, people, credits_used"
    change(filled, f"insert into request ({columns}) values {', '.join(lines)}")
    change(filled, f"update request set happened_at = happened_at + interval ({days}) day where {jump}")
    assert failed(filled) == {}
    assert filled.ledger().filter(request_id=str(uuid.UUID(int=1)))["state"].to_list() == ["answered"]


def test_the_forgotten_leave_a_clean_store(filled: EnrichmentStore) -> None:
    """Their rows are gone, and in the ledger the nil id stands for them."""
    filled.suppress(LEADS["email"][3])
    assert filled.forget(LEADS["email"].head(3).to_list()) == 3
    assert filled.sql(f"select count(*) from request where list_contains(people, '{NIL}')").item() > 0
    assert failed(filled) == {}
    filled.retention(timedelta())
    assert filled.stats().answers == 0
    assert failed(filled) == {}


def test_a_run_may_buy_again_what_is_older_than_its_terms(filled: EnrichmentStore) -> None:
    """Bought again after a day: too soon for 90 days and for ever, but not where a day is old."""
    change(filled, DAMAGE["nobody_was_charged_twice"][0])
    for terms, twice in (
        (None, True),
        ('{"max_age_days": null}', True),
        ('{"max_age_days": 2}', True),
        ('{"max_age_days": 1}', False),
    ):
        summary = "null" if terms is None else f"'{terms}'"
        change(filled, f"update run set summary = {summary} where state = 'started'")
        assert ("nobody_was_charged_twice" in failed(filled)) == twice


def test_two_who_turned_out_to_be_one_were_not_charged_twice_knowingly(filled: EnrichmentStore) -> None:
    """Only what was bought after the link is a double charge."""
    change(
        filled,
        "insert into link select max(person_id), min(person_id), now() from answer"
        " where found and person_id not in (select person_id from answer where has_social)",
    )
    assert failed(filled) == {}
    change(filled, "update link set linked_at = linked_at - interval 1 hour")
    assert failed(filled) == {"nobody_was_charged_twice": 1}


def test_a_run_that_estimated_or_waits_for_the_journal_is_not_compared(filled: EnrichmentStore) -> None:
    """Where the vendor did not say what it used, report and ledger differ rightly."""
    change(filled, "update request set credits_used = null where state = 'answered'")
    assert failed(filled) == {}


def test_tables_that_somebody_changed_are_told(filled: EnrichmentStore) -> None:
    """A check that cannot be made is not ok, and the others are made."""
    change(filled, "drop table suppression")
    report = filled.check().filter(~pl.col("ok"))
    assert report.select("check", "found").rows() == [("suppression_can_be_read", None)]
    assert "Cannot be made" in report["detail"].item()


def test_an_older_store_is_examined_after_its_migration(filled: EnrichmentStore) -> None:
    """Read-only it is told that the next run migrates it."""
    change(
        filled,
        "delete from meta where value <> '1'; drop table suppression; alter table request drop account",
    )
    assert failed(EnrichmentStore(filled.path, read_only=True)) == {"schema_is_current": 1}


# --- files -----------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_files_that_others_can_read_are_told(filled: EnrichmentStore) -> None:
    """The file itself, and entries of the journal."""
    filled.path.chmod(0o644)
    assert failed(filled) == {"files_are_private": 1}


def test_entries_of_the_journal_are_told_by_name(filled: EnrichmentStore) -> None:
    """Waiting ones resolve themselves; those set aside are named."""
    journal = Path(f"{filled.path}.journal")
    journal.mkdir(mode=0o700)
    for name in ("a.json", "b.json", "c.corrupt"):
        (journal / name).touch(mode=0o600)
    assert failed(filled) == {"journal_is_readable": 1, "journal_is_taken_in": 2}
    report = filled.check().filter(pl.col("check") == "journal_is_readable")
    assert "c.corrupt" in report["detail"].item()


# --- damaged files ---------------------------------------------------------------------------------------


def flip(path: Path, offset: int) -> None:
    """One flipped byte, as a bad disk leaves it."""
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 0xFF]))


def test_a_flipped_byte_anywhere_in_the_file_is_damage(filled: EnrichmentStore) -> None:
    """In the headers when it is opened, in a block of data when the examination reads it."""
    size = filled.sql("select total_blocks, used_blocks, block_size from pragma_database_size()").row(0)
    total, used, block = size
    whole = filled.path.read_bytes()
    told = []
    for number in range(total):
        flip(filled.path, 12_288 + number * block + 64)
        with contextlib.suppress(StoreDamagedError):
            EnrichmentStore(filled.path).check()
            told.append(number)
        filled.path.write_bytes(whole)
    # bytes of blocks that are free are nobody's
    assert len(told) <= total - used


def test_damage_says_what_to_do(filled: EnrichmentStore) -> None:
    """Which file, and to keep it before anything else."""
    flip(filled.path, 12_288 + 64)
    with pytest.raises(StoreDamagedError, match=r"Copy it and .* first of all") as error:
        filled.check()
    assert error.value.path == str(filled.path)


def test_a_file_cut_short_is_damage(filled: EnrichmentStore) -> None:
    """As a full disk or a broken copy leaves it."""
    os.truncate(filled.path, 5_000)
    with pytest.raises(StoreDamagedError, match="is damaged"):
        EnrichmentStore(filled.path).check()
    os.truncate(filled.path, 0)
    with pytest.raises(NotAStoreError):
        EnrichmentStore(filled.path).check()


def test_a_check_that_meets_damage_calls_it_damage(filled: EnrichmentStore) -> None:
    """And not a table that somebody changed, also where every row could be read a moment before."""
    total, block = filled.sql("select total_blocks, block_size from pragma_database_size()").row(0)
    whole = filled.path.read_bytes()
    met = []

    def make_the_checks(number: int) -> None:
        with EnrichmentStore(filled.path)._database.connect(read_only=True) as connection:
            met.append(number)
            for name in integrity._queries():
                integrity._query(connection, name)
            met.remove(number)

    for number in range(total):
        flip(filled.path, 12_288 + number * block + 64)
        with contextlib.suppress(StoreDamagedError):
            make_the_checks(number)
        filled.path.write_bytes(whole)
    assert met


def test_a_query_and_a_commit_meet_damage_as_such(filled: EnrichmentStore) -> None:
    """It is no fault of the query, and the run can rescue what it holds."""
    size = filled.path.stat().st_size
    for offset in range(12_288 + 64, size, 262_144):
        flip(filled.path, offset)
    fresh = EnrichmentStore(filled.path)
    with pytest.raises(StoreDamagedError):
        fresh.sql("select count(body) from response")
    with pytest.raises(StoreDamagedError):
        fresh.commit()


def test_a_flipped_byte_in_the_log_is_damage(store: EnrichmentStore) -> None:
    """The newest answers are in it, so it is never dropped silently; what to do is told."""
    script = textwrap.dedent(
        f"""
        from buena_pipeline import EnrichmentStore
        import polars as pl
        from buena_pipeline.schema import RUN_ROWS
        store = EnrichmentStore({str(store.path)!r})
        for number in range(10):
            row = {{"run_id": f"00000000-0000-0000-0000-0000000000{{number:02d}}", "state": "started"}}
            store.commit(new_run=pl.DataFrame([row], schema=RUN_ROWS))
        """
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    log = Path(f"{store.path}.wal")
    flip(log, log.read_bytes().rindex(b"started"))
    with pytest.raises(StoreDamagedError, match=r"The log .*\.wal beside the store is damaged.* copy both"):
        store.check()
    assert log.exists()
    log.rename(f"{log}.aside")
    assert failed(store) == {}


def test_a_store_in_use_is_examined(filled: EnrichmentStore) -> None:
    """Another process writes all the while; each examination sees a moment between its commits."""
    script = textwrap.dedent(
        f"""
        import time, uuid
        import polars as pl
        from datetime import UTC, datetime
        from buena_pipeline import EnrichmentStore
        from buena_pipeline.schema import RUN_ROWS, REQUEST_ROWS
        store = EnrichmentStore({str(filled.path)!r})
        print("ready", flush=True)
        for number in range(10):
            time.sleep(0.02)
            run, now = str(uuid.uuid4()), datetime.now(UTC)
            store.commit(
                new_run=pl.DataFrame([{{"run_id": run, "state": "started"}}], schema=RUN_ROWS),
                new_request=pl.DataFrame(
                    [{{"request_id": run, "run_id": run, "state": "in flight", "happened_at": now,
                       "lease_until": now}}],
                    schema=REQUEST_ROWS,
                ),
            )
        """
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        while writer.poll() is None:
            assert failed(filled) == {}
            time.sleep(0.1)
    assert writer.returncode == 0
    assert filled.sql("select count(*) from request where state = 'in flight'").item() >= 10


# --- doctor ----------------------------------------------------------------------------------------------


def examined(store: EnrichmentStore) -> list[Check]:
    """What the doctor says of the store."""
    return [check for check in examine(store.path) if check.name in ("store", "integrity")]


def test_the_doctor_tells_what_it_found(filled: EnrichmentStore) -> None:
    """One line if all is well; else one per finding: damage fails, what resolves itself warns."""
    assert [(check.level, check.name) for check in examined(filled)] == [("ok", "store"), ("ok", "integrity")]
    assert examined(filled)[1].finding == f"{filled.check().height} checks"
    change(
        filled,
        """
        delete from request where state <> 'in flight' and request_id = (select min(request_id) from answer);
        update request set lease_until = now() - interval 25 hours
        """,
    )
    levels = {check.finding.partition(":")[0]: check.level for check in examined(filled)[1:]}
    assert levels == {"answers_belong_to_requests": "fail", "nothing_is_in_flight_for_long": "warn"}


def test_the_doctor_tells_of_a_damaged_file(filled: EnrichmentStore) -> None:
    """With what to do, and no traceback."""
    flip(filled.path, 12_288 + 64)
    (check,) = examined(filled)
    assert (check.level, check.name) == ("fail", "store")
    assert json.dumps(check.finding).isascii()
    assert "restore a backup" in check.finding
