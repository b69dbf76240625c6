"""The store against a real file: what is written is there, once, and nobody else's file is touched."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from importlib import resources
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import duckdb
import polars as pl
import pytest

from buena_pipeline import EnrichmentStore
from buena_pipeline.errors import (
    NotAStoreError,
    QueryError,
    SettingsError,
    StoreDamagedError,
    StoreError,
    StoreLockedError,
    StoreVersionError,
)
from buena_pipeline.schema import (
    ANSWER_ROWS,
    BLOCKS,
    ENRICHED,
    IDENTITY_ROWS,
    KEY_KIND,
    KNOWN,
    RECORD,
    REQUEST_ROWS,
    RESPONSE_ROWS,
    RUN_ROWS,
    UUID,
)
from buena_pipeline.store.database import sync
from buena_pipeline.store.engine import Engine
from buena_pipeline.store.journal import Journal
from tests.keys import key_of, keys_of
from tests.torture.disks import file_limit

START = datetime(2026, 5, 1, tzinfo=UTC)


def frame(schema: pl.Schema, *rows: dict[str, Any]) -> pl.DataFrame:
    """Rows of a stage; what is not told is null."""
    return pl.DataFrame(list(rows), schema=schema)


def person(name: str) -> str:
    """A stable person id."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


def bought(
    store: EnrichmentStore,
    who: str,
    *,
    day: int = 0,
    found: bool = True,
    blocks: tuple[str, ...] = BLOCKS,
    keys: tuple[tuple[str, str], ...] = (),
    **record: Any,
) -> str:
    """Writes one answered request for one person, and returns the request's id."""
    request_id, moment = str(uuid.uuid4()), START + timedelta(days=day)
    common = {"request_id": request_id, "person_id": person(who)}
    store.commit(
        new_request=frame(
            REQUEST_ROWS,
            {"request_id": request_id, "state": "answered", "happened_at": moment, "people": [person(who)]},
        ),
        new_answer=frame(
            ANSWER_ROWS,
            {
                **common,
                "answered_at": moment,
                "found": found,
                "reason": None if found else "unknown",
                **{f"has_{block}": block in blocks for block in BLOCKS},
                **record,
            },
        ),
        new_response=frame(RESPONSE_ROWS, {**common, "received_at": moment, "body": '{"raw": true}'}),
        new_identity=frame(
            IDENTITY_ROWS,
            *(
                {**common, "kind": kind, "key": key_of(kind, value), "known_at": moment}
                for kind, value in keys
            ),
        ),
    )
    return request_id


def number(name: str) -> int:
    """The same as a number."""
    return uuid.UUID(person(name)).int


def records_of(store: EnrichmentStore, *names: str) -> pl.DataFrame:
    """What the store has of some people, in their order."""
    people = pl.DataFrame({"person_id": [number(name) for name in names]}, schema={"person_id": UUID})
    return store.fetch(people).sort("slot")


def test_a_new_store_has_every_view_and_says_what_it_is_for(store: EnrichmentStore) -> None:
    """Tables and views are documented in the file itself."""
    documented = store.sql(
        "select view_name as name, comment from duckdb_views() where not internal"
        " union all select table_name, comment from duckdb_tables() where not internal"
    )
    assert {"leads", "failures", "stale", "credits_by_day", "coverage"} <= set(documented["name"])
    assert documented["comment"].null_count() == 0


def test_the_leads_view_has_the_enriched_columns_in_their_order(store: EnrichmentStore) -> None:
    """Same names as the columns of the frame, without the prefix."""
    assert set(store.sql("from leads").columns) == set(ENRICHED)
    assert [name for name in store.sql("from leads").columns if name in RECORD] == RECORD.names()


def test_what_was_committed_is_fetched_with_the_schema_of_records(store: EnrichmentStore) -> None:
    """Lists and structs come back as they went in, at the documented dtypes."""
    profiles = [{"network": "mastodon", "url": "https://example.social/@jane"}]
    bought(store, "jane", skills=["python"], social_profiles=profiles, company_founded=2010)
    record = records_of(store, "nobody", "jane")
    assert record.schema == {
        "slot": pl.UInt32(),
        "person_id": UUID,
        **RECORD,
        "enriched_at": ENRICHED["enriched_at"],
    }
    assert record.select("slot", "person_id", "skills", "social_profiles", "company_founded").rows() == [
        (1, number("jane"), ["python"], profiles, 2010)
    ]


def test_new_values_overwrite_old_ones_and_null_never_overwrites(store: EnrichmentStore) -> None:
    """The newest value of every column, in the frame and in the view."""
    bought(store, "jane", day=1, title="CTO", phone="+1")
    bought(store, "jane", day=3, title="CEO")
    bought(store, "jane", day=2, title="COO", bio="Hello")
    bought(store, "jane", day=4, found=False)
    record = records_of(store, "jane")
    expected = ("CEO", "+1", "Hello", START + timedelta(days=3))
    assert record.select("title", "phone", "bio", "enriched_at").row(0) == expected
    assert store.sql("select title, phone, bio, enriched_at from leads").row(0) == expected


def test_a_parsed_column_follows_the_text_it_was_parsed_from(store: EnrichmentStore) -> None:
    """A new size that says no number does not keep the old numbers."""
    bought(store, "jane", day=1, company_size="10-50", company_size_min=10, company_size_max=50)
    bought(store, "jane", day=2, company_size="small")
    columns = ("company_size", "company_size_min", "company_size_max")
    assert records_of(store, "jane").select(columns).row(0) == ("small", None, None)


def test_a_commit_without_acknowledgement_can_be_repeated(store: EnrichmentStore) -> None:
    """The same request twice is written once."""
    request_id = str(uuid.uuid4())
    state = {"request_id": request_id, "happened_at": START, "people": [person("jane")], "credits_used": 1.0}
    answer = {"person_id": person("jane"), "request_id": request_id, "answered_at": START, "found": True}
    opening = frame(REQUEST_ROWS, state | {"state": "in flight", "credits_used": None})
    for _ in range(2):
        store.commit(new_request=opening)
    for _ in range(2):
        store.commit(
            new_request=frame(REQUEST_ROWS, state | {"state": "answered"}),
            new_answer=frame(ANSWER_ROWS, answer),
            new_response=frame(RESPONSE_ROWS, {"request_id": request_id, "body": "{}"}),
        )
    stats = store.stats()
    assert (stats.answers, stats.requests, stats.credits_used) == (1, 1, 1.0)
    assert store.sql("select count(*) from request").item() == 2
    assert store.sql("select count(*) from response").item() == 1


def test_a_look_up_finds_a_person_by_any_of_their_keys(store: EnrichmentStore) -> None:
    """With what was bought when, per block."""
    keys = (("email", "jane@acme.example"), ("linkedin", "jane"))
    bought(store, "jane", blocks=("company",), keys=keys)
    asked = keys_of(
        (0, "linkedin", "jane"), (1, "email", "jane@acme.example"), (2, "email", "omar@acme.example")
    )
    found = store.lookup(asked)
    assert found.own_id["person"].to_list() == [0, 1, 2]
    assert found.own_id["person_id"].n_unique() == 3
    assert found.known.schema == KNOWN
    assert found.known.sort("person").select("person", "person_id", "company_at", "personal_at").rows() == [
        (0, number("jane"), START, None),
        (1, number("jane"), START, None),
    ]


def test_people_on_their_way_are_known_by_all_their_keys_until_they_are_answered(
    store: EnrichmentStore,
) -> None:
    """Written before the request leaves, so that a crash or another process finds them."""
    request = {"request_id": str(uuid.uuid4()), "happened_at": START, "people": [person("jane")]}
    request["blocks"] = ["company"]
    key = {"person_id": person("jane"), "kind": "email", "key": key_of("email", "jane@acme.example")}
    store.commit(
        new_request=frame(REQUEST_ROWS, request | {"state": "in flight"}),
        new_identity=frame(IDENTITY_ROWS, key | {"request_id": request["request_id"], "known_at": START}),
    )
    asked = keys_of((0, "email", "jane@acme.example"))
    assert store.lookup(asked).known.select("person_id", "pending_since", "found_at").rows() == [
        (number("jane"), START, None)
    ]
    store.commit(
        new_request=frame(
            REQUEST_ROWS, request | {"state": "unknown", "happened_at": START + timedelta(minutes=1)}
        )
    )
    assert store.lookup(asked).known["pending_since"].item() == START
    bought(store, "jane", day=1, blocks=("company",))
    assert store.lookup(asked).known["pending_since"].item() is None


def test_the_id_of_a_new_person_is_the_same_in_every_process(store: EnrichmentStore, tmp_path: Path) -> None:
    """It is made from the strongest key, so two processes come to one id."""
    asked = keys_of((0, "linkedin", "jane"), (0, "email", "jane@acme.example"))
    other = EnrichmentStore(tmp_path / "other.duckdb")
    alone = keys_of((0, "linkedin", "jane"))
    assert store.lookup(asked).own_id.rows() == other.lookup(alone).own_id.rows()


def test_somebody_with_another_profile_is_somebody_else(store: EnrichmentStore) -> None:
    """A shared address does not put one person's data on another's row."""
    bought(store, "jane", keys=(("email", "team@acme.example"), ("linkedin", "jane")))
    known = store.lookup(keys_of((0, "linkedin", "omar"), (0, "email", "team@acme.example"))).known
    assert known.is_empty()


def test_two_people_whom_an_answer_shows_to_be_one_are_one_from_then_on(store: EnrichmentStore) -> None:
    """Bought as two; the second answer confirms a key of the first; both ids lead to all blocks."""
    bought(store, "by-mail", day=1, blocks=("company",), keys=(("email", "j@a.example"),), company_name="A")
    bought(
        store,
        "by-profile",
        day=2,
        blocks=("personal",),
        keys=(("linkedin", "jane"), ("email", "j@a.example")),
        bio="Hello",
    )
    known = store.lookup(keys_of((0, "email", "j@a.example"), (1, "linkedin", "jane"))).known
    assert known["person_id"].unique().to_list() == [number("by-mail")]
    assert known["candidates"].to_list() == [1, 1]
    assert known["company_at"].null_count() == known["personal_at"].null_count() == 0
    record = records_of(store, "by-profile", "by-mail")
    assert record.select("slot", "person_id", "company_name", "bio").rows() == [
        (0, number("by-mail"), "A", "Hello"),
        (1, number("by-mail"), "A", "Hello"),
    ]
    assert store.sql("select count(*) from leads").item() == 1


def test_people_who_are_one_already_are_not_linked_again(store: EnrichmentStore) -> None:
    """When a key that both of them had comes with another answer."""
    bought(store, "by-mail", day=1, keys=(("email", "j@a.example"),))
    bought(store, "by-profile", day=2, keys=(("linkedin", "jane"), ("email", "j@a.example")))
    bought(store, "by-mail", day=3, keys=(("email", "j@a.example"),))
    assert store.sql("select count(*) from link").item() == 1


def test_links_are_followed_to_the_end(store: EnrichmentStore) -> None:
    """A joins B, then B joins C: all three are the one known longest."""
    bought(store, "c", day=2, keys=(("email", "c@x.example"),))
    bought(store, "b", day=3, keys=(("email", "b@x.example"), ("email", "c@x.example")))
    bought(store, "a", day=1, keys=(("email", "a@x.example"),))
    bought(store, "d", day=4, keys=(("email", "a@x.example"), ("email", "b@x.example")))
    links = dict(store.sql("select person_id::varchar, same_as::varchar from same_person").rows())
    assert links == {person(name): person("a") for name in "bcd"}


def test_a_key_of_two_profiles_links_nobody(store: EnrichmentStore) -> None:
    """An address in the answers of two people with different profiles stays ambiguous."""
    for name in ("jane", "omar"):
        bought(store, name, keys=(("linkedin", name), ("email", "shared@acme.example")))
    assert store.sql("select count(*) from link").item() == 0
    known = store.lookup(keys_of((0, "email", "shared@acme.example"))).known
    assert known.select("candidates", "own").rows() == [(2, False), (2, False)]


def test_a_member_id_of_two_profiles_points_to_neither(store: EnrichmentStore) -> None:
    """Nor does it link them; together with one of the profiles it is that one's."""
    for name in ("jane", "omar"):
        bought(store, name, keys=(("linkedin", name), ("member", "acoaab1")))
    assert store.sql("select count(*) from link").item() == 0
    known = store.lookup(keys_of((0, "member", "acoaab1"))).known
    assert known.select("candidates", "own").rows() == [(2, False), (2, False)]
    beside = keys_of((0, "linkedin", "omar"), (0, "member", "acoaab1"))
    assert store.lookup(beside).known["person_id"].unique().to_list() == [number("omar")]


def test_a_member_id_links_whom_nothing_contradicts(store: EnrichmentStore) -> None:
    """Bought by address and by member id, whatever their names."""
    bought(
        store,
        "by-mail",
        day=1,
        keys=(("email", "j@a.example"), ("linkedin", "jane")),
        first_name="J",
        last_name="D",
    )
    bought(store, "by-member", day=2, keys=(("member", "acoaab1"),), first_name="Jane", last_name="Doe")
    bought(store, "by-mail", day=3, keys=(("member", "acoaab1"),))
    known = store.lookup(keys_of((0, "email", "j@a.example"), (1, "member", "acoaab1"))).known
    assert known["person_id"].unique().to_list() == [number("by-member")]  # who had it first


@pytest.mark.parametrize("kind", ["linkedin", "member"])
def test_a_member_id_finds_whomever_it_was_kept_for(store: EnrichmentStore, kind: str) -> None:
    """An older release kept it as a profile."""
    bought(store, "jane", keys=((kind, "acoaab1"), ("email", "j@a.example")))
    known = store.lookup(keys_of((0, "member", "acoaab1"), (1, "email", "j@a.example"))).known
    assert known["person_id"].to_list() == [number("jane")] * 2


def test_runs_and_ledger_show_the_last_state_of_each(store: EnrichmentStore) -> None:
    """One row per run and per request, whatever their state changes."""
    run_id = str(uuid.uuid4())
    for state, summary in (("started", None), ("finished", '{"rows": 3}')):
        store.commit(
            new_run=frame(
                RUN_ROWS,
                {"run_id": run_id, "state": state, "happened_at": START, "rows": 3, "summary": summary},
            )
        )
    assert store.runs().select("run_id", "state", "rows", "summary").rows() == [
        (run_id, "finished", 3, '{"rows": 3}')
    ]
    bought(store, "jane")
    assert store.ledger().select("state", "people").rows() == [("answered", 1)]


def test_a_query_reads_and_cannot_write(store: EnrichmentStore) -> None:
    """Placeholders work; errors are ours; a write is refused."""
    assert store.sql("select $n + 1 as n", {"n": 41})["n"].item() == 42
    with pytest.raises(QueryError, match="does not run"):
        store.sql("select * from nowhere")
    with pytest.raises(QueryError, match="read-only"):
        store.sql("delete from answer")


@pytest.mark.parametrize(
    "query",
    [
        "from leads;",
        "-- a comment\nwith a as (select 1 as x) from a",
        "values (1)",
        "table leads",
        "show tables",
        "describe leads",
        "summarize leads",
        "explain from leads",
        "explain (format json) from leads",
        "explain (select 1)",
        "explain (select 1) union select 2",
        "explain analyze from leads",
        "explain pivot range(3) on range",
        "pivot range(3) on range",
        "from (pivot range(3) on range)",
        "pragma database_size",
        "from pragma_database_size()",
    ],
)
def test_every_kind_of_query_runs(store: EnrichmentStore, query: str) -> None:
    """Whatever DuckDB makes of it."""
    assert store.sql(query).width > 0


@pytest.mark.parametrize(
    "text",
    [
        "attach '{path}' as q",
        "copy leads to '{path}'",
        "create table memory.main.mine as select 1",
        "create table memory.main.mine as pivot range(3) on range",
        "explain analyze create table memory.main.mine as select 1",
        "explain analyze set threads = 1",
        "set threads = 1",
        "pragma threads = 1",
        "pragma enable_profiling",
        "call force_checkpoint()",
        "use memory",
        "begin",
        "select 1; attach '{path}' as q",
        "-- nothing",
    ],
)
def test_what_is_no_query_is_refused_and_leaves_nothing(
    store: EnrichmentStore, tmp_path: Path, text: str
) -> None:
    """No file, no table in the instance that the next call uses, no setting."""
    store.stats()
    mine = tmp_path / "mine"
    kept = """
        select (select count(*) from duckdb_databases() where not internal),
               (select count(*) from duckdb_tables() where database_name = 'memory'),
               current_setting('threads')
    """
    before = store.sql(kept).rows()
    with pytest.raises(QueryError, match=r"no query|One query") as caught:
        store.sql(text.format(path=mine))
    assert str(mine) not in str(caught.value)
    assert store.sql(kept).rows() == before
    assert not mine.exists()


def test_a_result_no_table_can_hold_is_explained(store: EnrichmentStore) -> None:
    """DuckDB has types that Arrow and polars have not."""
    with pytest.raises(QueryError, match="cast it"):
        store.sql("select interval 1 day as age")


@pytest.mark.parametrize("name", ["leads.csv", "leads.Parquet"])
def test_a_table_is_no_store(name: str) -> None:
    """DuckDB would open a CSV as a database of its own kind."""
    with pytest.raises(NotAStoreError, match="is a table by its name"):
        EnrichmentStore(name)


def test_every_view_is_exported_as_parquet(store: EnrichmentStore, tmp_path: Path) -> None:
    """The folder is made, and the files read back."""
    bought(store, "jane", title="CTO")
    paths = store.export(tmp_path / "out")
    assert [path.stem for path in paths] == ["leads", "failures", "stale", "credits_by_day", "coverage"]
    assert pl.read_parquet(tmp_path / "out" / "leads.parquet")["title"].to_list() == ["CTO"]


def test_coverage_and_failures_count_people(store: EnrichmentStore) -> None:
    """A person without a value counts as not covered; one never found is a failure."""
    bought(store, "jane", title="CTO")
    bought(store, "omar")
    bought(store, "nobody", found=False)
    shares = dict(store.sql("select column_name, share from coverage").rows())
    assert (shares["title"], shares["bio"]) == (0.5, 0.0)
    assert store.sql("select person_id::varchar, reason from failures").rows() == [
        (person("nobody"), "unknown")
    ]


def test_coverage_counts_what_leads_has(store: EnrichmentStore) -> None:
    """Answers of several days, in which values are missing and parsed ones go with their text."""
    bought(
        store, "jane", day=1, title="CTO", experience="8 years", experience_years=8.0, company_size="51-200"
    )
    bought(store, "jane", day=2, bio="Builds.", experience="many years")
    bought(store, "omar", day=1, company_size="10", company_size_min=10, company_size_max=10)
    bought(store, "omar", day=3, company_size="11", company_size_min=11)
    bought(store, "ada", day=1, company_website="https://acme.example", company_domain="acme.example")
    bought(store, "ada", day=2, skills=["SQL"])
    leads = store.sql("select * exclude (person_id, status, error, enriched_at) from leads")
    counted = leads.count().transpose(include_header=True, column_names=["filled"])
    told = store.sql("select column_name, filled from coverage")
    assert dict(told.rows()) == dict(counted.rows())
    assert dict(told.rows())["experience_years"] == 0
    assert store.sql("select distinct people from coverage").rows() == [(3,)]


def test_a_day_of_the_ledger_is_one_of_utc_for_whoever_asks(store: EnrichmentStore) -> None:
    """A shell in New York has another date at that moment."""
    row = {
        "request_id": str(uuid.uuid4()),
        "run_id": person("run"),
        "state": "answered",
        "happened_at": datetime(2026, 1, 1, 2, tzinfo=UTC),
        "people": [person("jane")],
        "credits_used": 5.0,
    }
    store.commit(new_request=pl.DataFrame([row], schema=REQUEST_ROWS))
    with duckdb.connect(str(store.path), read_only=True) as shell:
        shell.execute("set TimeZone = 'America/New_York'")
        assert shell.sql("select day, credits_used from credits_by_day").fetchall() == [
            (date(2026, 1, 1), 5.0)
        ]


def test_the_days_of_the_ledger_say_what_was_spent_and_what_is_left(store: EnrichmentStore) -> None:
    """Answers overtake each other: what is left is the smallest number of the day's last run."""
    told = [("first", 0, 5.0, 10.0), ("second", 1, 20.0, 80.0), ("second", 2, 20.0, 100.0)]
    for run, minute, used, left in told:
        row = {
            "request_id": str(uuid.uuid4()),
            "run_id": person(run),
            "state": "answered",
            "happened_at": START + timedelta(minutes=minute),
            "people": [person("jane")],
            "credits_used": used,
            "credits_remaining": left,
        }
        store.commit(new_request=frame(REQUEST_ROWS, row))
    assert store.sql("from credits_by_day").rows() == [(START.date(), 3, 0, 3, 45.0, 80.0)]


def test_only_the_owner_may_read_the_file(store: EnrichmentStore) -> None:
    """The store and its sidecar hold personal data."""
    store.stats()
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert Path(f"{store.path}.lock").stat().st_mode & 0o777 == 0o600


def test_raw_bodies_stay_compressed(store: EnrichmentStore) -> None:
    """Under the old storage version, too."""
    store.stats()
    with duckdb.connect(str(store.path)) as connection:
        connection.execute(
            "insert into response"
            " select uuid(), uuid(), now(), repeat('some text ', 100) || i from range(9999) t(i)"
        )
        connection.execute("checkpoint")
        segments = connection.execute(
            "select compression from pragma_storage_info('response')"
            " where column_name = 'body' and segment_type = 'VARCHAR'"
        ).fetchall()
    assert set(segments) == {("ZSTD",)}


def test_another_version_line_of_duckdb_reads_the_views(store: EnrichmentStore) -> None:
    """The shell of DuckDB 1.x opens what the library of 2.x wrote."""
    bought(store, "jane", title="CTO", skills=["python"])
    shell = shutil.which("duckdb", path=str(Path(sys.executable).parent))
    assert shell is not None, "the dev extra installs duckdb-cli"
    version = subprocess.run([shell, "--version"], capture_output=True, text=True, check=True).stdout
    assert version.startswith("v1.")

    def ask(query: str) -> Any:
        command = [shell, "-readonly", "-json", str(store.path), query]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)[0]

    assert ask("select title, skills from leads")["title"] == "CTO"
    assert ask("select requests, people from credits_by_day") == {"requests": 1, "people": 1}


# --- files that are not ours -----------------------------------------------------------------------------


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    """The message names the file; its bytes stay."""
    path = tmp_path / "leads.duckdb"
    path.write_text("email\njane@acme.example\n" * 400)
    before = path.read_bytes()
    with pytest.raises(NotAStoreError, match=r"leads\.duckdb is not a DuckDB database"):
        EnrichmentStore(path).stats()
    assert path.read_bytes() == before


def test_somebody_elses_database_is_left_alone(tmp_path: Path) -> None:
    """A DuckDB file with other tables is not taken over."""
    path = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table sales (amount int)")
    with pytest.raises(NotAStoreError, match="not a store of buena_pipeline"):
        EnrichmentStore(path).stats()
    with duckdb.connect(str(path)) as connection:
        assert connection.execute("select table_name from duckdb_tables()").fetchall() == [("sales",)]


def test_a_store_of_a_newer_release_is_refused(store: EnrichmentStore) -> None:
    """The message says how to upgrade."""
    store.stats()
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("insert into meta values ('schema_version', '99')")
    with pytest.raises(StoreVersionError, match=r"schema version 99.*pip install --upgrade"):
        EnrichmentStore(store.path).stats()


def store_of_the_first_release(path: Path) -> None:
    """A store with schema version 1, and one person in it."""
    tables = resources.files("buena_pipeline.store").joinpath("sql", "migrations", "001_tables.sql")
    with duckdb.connect(str(path)) as connection:
        connection.execute(tables.read_text(encoding="utf-8"))
        connection.execute("insert into meta values ('schema_version', '1')")
        connection.execute("insert into answer (person_id, found, answered_at) values (uuid(), true, now())")


def test_a_store_of_an_older_release_is_migrated(tmp_path: Path) -> None:
    """With all that is in it; the next store object finds the new schema."""
    store_of_the_first_release(tmp_path / "buena.duckdb")
    for _ in range(2):
        store = EnrichmentStore(tmp_path / "buena.duckdb")
        assert store.stats().people == 1
        assert store.check().filter(~pl.col("ok") & (pl.col("check") == "schema_is_current")).is_empty()


def test_a_backup_that_takes_the_place_of_a_store_is_migrated_too(store: EnrichmentStore) -> None:
    """By the object that had the newer file open before."""
    assert store.stats().people == 0
    backup = store.path.with_name("backup.duckdb")
    store_of_the_first_release(backup)
    backup.replace(store.path)
    assert store.runs().is_empty()
    assert store.stats().people == 1


def test_an_older_store_opened_read_only_says_what_it_lacks(tmp_path: Path) -> None:
    """What it has can be queried."""
    store_of_the_first_release(tmp_path / "buena.duckdb")
    store = EnrichmentStore(tmp_path / "buena.duckdb", read_only=True)
    assert store.sql("select count(*) from answer").item() == 1
    with pytest.raises(QueryError, match=r"older release; open it once without read_only"):
        store.ledger()


def test_a_store_whose_tables_were_changed_is_not_migrated(tmp_path: Path) -> None:
    """A clear error, and the file is as it was."""
    path = tmp_path / "buena.duckdb"
    store_of_the_first_release(path)
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table suppression (mine int)")
    with pytest.raises(StoreError, match=r"cannot be brought from schema version 1 .* restore a backup"):
        EnrichmentStore(path).stats()
    with duckdb.connect(str(path)) as connection:
        assert connection.execute("select max(value) from meta").fetchall() == [("1",)]
        assert connection.execute("select count(*) from answer").fetchall() == [(1,)]


def test_a_store_is_not_migrated_where_the_disk_does_not_take_it(tmp_path: Path) -> None:
    """What is wrong is the disk, and the next one can do it."""
    path = tmp_path / "buena.duckdb"
    store_of_the_first_release(path)
    with file_limit(100), pytest.raises(StoreError, match=r"did not take what happened.*make room"):
        EnrichmentStore(path).stats()
    assert EnrichmentStore(path).stats().people == 1


def test_a_store_that_cannot_be_created_says_why(store: EnrichmentStore) -> None:
    """Somebody's file stands where the new one is drafted."""
    draft = store.path.with_name(f".{store.path.name}.draft")
    draft.touch()
    with pytest.raises(StoreError, match=r"buena\.duckdb cannot be created: File exists.*be writable"):
        store.stats()
    assert draft.exists()


def test_threads_that_share_a_store_wait_no_longer_than_they_are_told(store: EnrichmentStore) -> None:
    """A paid answer goes to the journal rather than wait in memory for another thread's query."""
    inside, leave = Event(), Event()

    def hold() -> None:
        with store.transaction():
            inside.set()
            assert leave.wait(30)

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold)
        assert inside.wait(30)
        with (
            pytest.raises(StoreLockedError, match=r"another thread of this process.*within 0\.05 s"),
            store.transaction(lock_timeout=0.05),
        ):
            pass
        leave.set()
        holding.result()
    store.commit()


@pytest.mark.parametrize("lock_timeout", [-1, float("nan")])
def test_a_lock_timeout_is_a_time(lock_timeout: float, tmp_path: Path) -> None:
    """Not before now."""
    with pytest.raises(SettingsError, match="lock_timeout"):
        EnrichmentStore(tmp_path / "buena.duckdb", lock_timeout=lock_timeout)


def test_an_error_of_a_query_quotes_no_value(store: EnrichmentStore) -> None:
    """Whatever the value says."""
    with pytest.raises(QueryError) as caught:
        store.sql("select v::int from (values ('Jane Doe, attached in read-only mode')) t(v)")
    assert "Jane" not in str(caught.value)


def test_a_truncated_store_is_not_taken_for_a_damaged_log(tmp_path: Path) -> None:
    """Wherever it lies."""
    folder = tmp_path / "WALTER"
    folder.mkdir()
    store = EnrichmentStore(folder / "buena.duckdb")
    bought(store, "jane", bio="word " * 100_000)
    store.checkpoint()
    whole = store.path.read_bytes()
    store.path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreDamagedError, match=r"The store .*WALTER.* is damaged"):
        EnrichmentStore(store.path).check()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """No folder is made behind the user's back."""
    with pytest.raises(StoreError, match="does not exist"):
        EnrichmentStore(tmp_path / "nowhere" / "buena.duckdb").stats()
    assert not (tmp_path / "nowhere").exists()


def test_a_read_only_store_neither_creates_nor_writes(store: EnrichmentStore, tmp_path: Path) -> None:
    """It reads what is there and refuses the rest."""
    with pytest.raises(NotAStoreError, match="no store at"):
        EnrichmentStore(tmp_path / "missing.duckdb", read_only=True).stats()
    bought(store, "jane")
    reader = EnrichmentStore(store.path, read_only=True)
    assert reader.stats().people == 1
    with pytest.raises(StoreError, match="read-only"):
        reader.commit()


def test_a_store_in_memory_is_refused() -> None:
    """It would forget what was paid for."""
    with pytest.raises(SettingsError, match="memory"):
        EnrichmentStore(":memory:")


def test_a_store_held_by_another_program_names_its_process(store: EnrichmentStore) -> None:
    """A DuckDB shell left open, played by a second process."""
    store.stats()
    script = textwrap.dedent(
        f"""
        import duckdb
        connection = duckdb.connect({str(store.path)!r})
        print("held", flush=True)
        input()
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        impatient = EnrichmentStore(store.path, lock_timeout=0.1)
        with pytest.raises(StoreLockedError, match=rf"held by process {holder.pid}\b"):
            impatient.stats()
        holder.communicate("\n")
    assert impatient.stats().people == 0


def test_a_store_in_use_by_this_library_elsewhere_is_waited_for(store: EnrichmentStore) -> None:
    """The sidecar keeps the turns; the message says so when it takes too long."""
    store.stats()
    other = EnrichmentStore(store.path, lock_timeout=0.05)
    with store._database.connect(), pytest.raises(StoreLockedError, match="another process of this library"):
        other.stats()
    assert other.stats().people == 0


def test_a_connection_of_ones_own_to_the_same_file_is_explained(store: EnrichmentStore) -> None:
    """In one process DuckDB takes one configuration per file."""
    store.stats()
    with (
        duckdb.connect(str(store.path)),
        pytest.raises(StoreLockedError, match=r"already open in this process"),
    ):
        EnrichmentStore(store.path, lock_timeout=0.1).stats()


# --- disks that are full, folders that are odd -----------------------------------------------------------


def learn_keys(store: EnrichmentStore, count: int) -> None:
    """Keys of somebody who is known, enough to fill a log."""
    if not store.stats().people:
        bought(store, "jane")
    keys = {"person_id": number("jane"), "kind": "email", "key": [uuid.uuid4().int for _ in range(count)]}
    store.learn(pl.DataFrame(keys, schema={"person_id": UUID, "kind": KEY_KIND, "key": UUID}), now=START)


def test_a_commit_that_does_not_fit_is_a_clear_error_and_leaves_the_store_as_it_was(
    store: EnrichmentStore,
) -> None:
    """Nothing of it is written; with room again, all of it is."""
    learn_keys(store, 3)
    with file_limit(40_000), pytest.raises(StoreError, match=r"did not take.*make room"):
        learn_keys(store, 20_000)
    assert store.sql("select count(*) from identity").item() == 3
    learn_keys(store, 20_000)
    assert store.sql("select count(*) from identity").item() == 20_003


def test_many_answers_that_do_not_fit_are_no_damage(store: EnrichmentStore) -> None:
    """They go into the file at once, and where that fails DuckDB speaks of an invalidated database."""
    people, request = [person(f"person {n}") for n in range(1000)], str(uuid.uuid4())
    told = {"request_id": request, "state": "answered", "happened_at": START, "people": people}
    came = {"request_id": request, "answered_at": START, "found": True, **{f"has_{b}": True for b in BLOCKS}}
    frames = {
        "new_request": frame(REQUEST_ROWS, told),
        "new_answer": frame(ANSWER_ROWS, *[came | {"person_id": who, "bio": who * 20} for who in people]),
    }
    store.stats()
    with file_limit(store.path.stat().st_size + 100), pytest.raises(StoreError, match="make room") as caught:
        store.commit(**frames)
    assert type(caught.value) is StoreError
    assert "may not grow any more" in str(caught.value)
    store.commit(**frames)
    assert store.stats().people == 1000


def test_a_checkpoint_that_does_not_fit_loses_nothing(store: EnrichmentStore) -> None:
    """The log is as good as the file."""
    learn_keys(store, 20_000)
    with file_limit(40_000), pytest.raises(StoreError, match="make room"):
        store.checkpoint()
    assert store.sql("select count(*) from identity").item() == 20_000
    store.checkpoint()
    assert store.sql("select count(*) from identity").item() == 20_000


@pytest.mark.parametrize("erase", ["forget", "retention"])
def test_an_erasure_on_a_full_disk_is_no_damage_and_changes_nothing(
    erase: str, store: EnrichmentStore
) -> None:
    """The log has to go into the file first: if that does not fit, nobody is told to restore a backup."""
    learn_keys(store, 20_000)
    with file_limit(40_000), pytest.raises(StoreError, match=r"may not grow any more.*make room") as caught:
        store.forget("jane@acme.example") if erase == "forget" else store.retention(timedelta(0))
    assert type(caught.value) is StoreError
    assert store.sql("select count(*) from identity").item() == 20_000
    assert store.forget("jane@acme.example") == 0


def test_a_store_for_which_there_is_no_room_is_not_made_by_halves(store: EnrichmentStore) -> None:
    """Nothing stays behind, and with room it is made."""
    with file_limit(40_000), pytest.raises(StoreError):
        store.stats()
    assert not store.path.exists()
    assert store.stats().people == 0


def test_a_journal_entry_that_does_not_fit_leaves_nothing_behind(tmp_path: Path) -> None:
    """Half an entry would look like a damaged one."""
    journal = Journal(tmp_path / "b.journal")
    with file_limit(1_000), pytest.raises(OSError, match="File too large"):
        journal.put("word " * 1_000)
    assert list(journal.folder.iterdir()) == []


def test_a_folder_in_the_place_of_the_file_is_a_clear_error(store: EnrichmentStore) -> None:
    """It says what to name instead."""
    store.path.mkdir()
    with pytest.raises(NotAStoreError, match=r"is a folder; the store is a file: name one in it"):
        store.stats()
    assert list(store.path.iterdir()) == []


def test_a_lock_file_that_cannot_be_had_is_a_clear_error(store: EnrichmentStore) -> None:
    """A folder in its place, as a careless clean-up may leave it."""
    Path(f"{store.path}.lock").mkdir()
    with pytest.raises(StoreError, match="also for the lock file beside it"):
        store.stats()


def test_an_export_that_cannot_be_written_says_which_file(store: EnrichmentStore, tmp_path: Path) -> None:
    """A folder stands where the first view would go."""
    (tmp_path / "out" / "leads.parquet").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"leads\.parquet cannot be written"):
        store.export(tmp_path / "out")


# --- DuckDB itself ---------------------------------------------------------------------------------------


def test_an_instance_that_broke_is_not_used_again(
    store: EnrichmentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an error inside of DuckDB, which no file provokes, the next call starts a new instance."""
    store.stats()
    broken = store._database._engine._instance

    def fatal(*_: object, **__: object) -> None:
        raise duckdb.FatalException("FATAL Error: an assertion failed")

    with monkeypatch.context() as patch:
        patch.setattr("buena_pipeline.store.engine.attach", fatal)
        with pytest.raises(StoreError, match="FatalException"):
            store.stats()
    assert store.stats().people == 0
    assert store._database._engine._instance is not broken


def test_files_are_let_go_of_when_an_instance_ends_before_its_time(tmp_path: Path) -> None:
    """One of two files cannot be detached: the instance ends, and holds neither of them."""
    engine = Engine(tmp_path / "spill", key=None)
    with engine.attached(tmp_path / "outer.duckdb") as outer:
        outer.execute("create table t as select 1 as x")
        with engine.attached(tmp_path / "inner.duckdb", name="fresh"):
            outer.execute("detach fresh")  # so that it is not there to be detached
        assert engine._instance is None
    for name in ("outer", "inner"):
        with duckdb.connect(str(tmp_path / f"{name}.duckdb")) as connection:
            connection.execute("create table mine as select 1")
    with engine.attached(tmp_path / "outer.duckdb") as outer:
        assert outer.execute("from t").fetchall() == [(1,)]


def test_where_folders_cannot_be_synced_files_are_synced_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where no folder can be opened."""
    synced: list[object] = []
    monkeypatch.setattr(
        "buena_pipeline.store.database.os",
        SimpleNamespace(name="nt", O_RDONLY=0, open=lambda path, _: path, fsync=synced.append, close=id),
    )
    (tmp_path / "file").touch()
    sync(tmp_path)
    sync(tmp_path / "file")
    assert synced == [tmp_path / "file"]
