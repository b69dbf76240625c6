"""``buena_enrich`` in a user's SQL: what it gives, what it costs, and what is told when it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from buena_pipeline import BuenaClient, Enricher, EnrichmentStore, Sandbox, enrich_frame, register_functions
from buena_pipeline.errors import AuthenticationError, InputError, StoreLockedError
from buena_pipeline.sandbox import Fault
from buena_pipeline.schema import DEFAULT_PREFIX, ENRICHED, STATUSES
from buena_pipeline.sql_functions import _Vectors
from buena_pipeline.summary import NO_IDENTIFIER


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A user's own connection."""
    with duckdb.connect() as opened:
        yield opened


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """One that finds everybody."""
    with Sandbox(limits=None, not_found=0) as running:
        yield running


def asked(connection: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    return connection.execute(query).fetchall()


def people(connection: duckdb.DuckDBPyConnection, count: int, *, rows_each: int = 1) -> None:
    """The table ``leads``: so many people, each with so many spellings of one address."""
    connection.execute(
        f"""
        create or replace table leads as
        select row, 'Person' || row % {count} || '+tag' || row // {count} || '@acme.example' as mail
        from range({count * rows_each}) rows(row)
        """
    )


def test_it_gives_the_columns_of_an_enriched_table(
    connection: duckdb.DuckDBPyConnection, client: BuenaClient, store: EnrichmentStore
) -> None:
    """Same names, same types, same values as ``enrich_frame``."""
    register_functions(connection, Enricher(client, store))
    people(connection, 20)
    connection.execute("create table done as select row, buena_enrich(mail) as lead from leads")
    types = dict(asked(connection, "select unnest(['status']), typeof(lead) from done limit 1"))["status"]
    assert types.startswith(f'STRUCT(status ENUM({", ".join(map(repr, STATUSES))}), "error" VARCHAR')
    assert "enriched_at TIMESTAMP WITH TIME ZONE" in types
    assert "social_profiles STRUCT(network VARCHAR, url VARCHAR)[]" in types
    given = connection.sql("select lead.* from done order by row").pl()
    assert given.columns == ENRICHED.names()
    assert given["status"].to_list() == ["enriched"] * 20
    table = pl.DataFrame(
        {"email": [row[0] for row in asked(connection, "select mail from leads order by row")]}
    )
    expected = enrich_frame(table, client=client, store=store)
    expected = expected.select(pl.col(DEFAULT_PREFIX + name).alias(name) for name in ENRICHED)
    moments = given["enriched_at"].dt.convert_time_zone("UTC").cast(expected["enriched_at"].dtype)
    others = given.with_columns(moments).drop("status")
    assert others.equals(expected.drop("status").cast({pl.Enum: pl.String}))


def test_nobody_is_paid_for_twice(
    connection: duckdb.DuckDBPyConnection, sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """Not within a vector, across vectors, threads, queries, or the fields of one struct."""
    connection.execute("set threads = 4")
    register_functions(connection, Enricher(client, store))
    people(connection, 300, rows_each=20)  # three vectors, each with everybody
    query = "select e.status, e.person_id from (select buena_enrich(mail) as e from leads)"
    rows = asked(connection, query)
    assert len(rows) == 6_000
    assert len({person for _, person in rows}) == 300
    assert sandbox.credits_used == 300
    asked(connection, "select buena_enrich(mail).title, buena_enrich(mail).company from leads limit 500")
    assert {status for status, _ in asked(connection, query)} == {"cached"}
    assert set(sandbox.charges()["count"]) == {1}


def test_who_is_bought_anew_is_so_once(
    connection: duckdb.DuckDBPyConnection, sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """An age that nothing reaches is that of the table, not of each vector of it."""
    people(connection, 100, rows_each=50)
    enrich_frame(connection.table("leads"), columns={"email": "mail"}, client=client, store=store)
    anew = Enricher(client, store, max_age=timedelta(0), retry_failed_after=timedelta(0))
    register_functions(connection, anew)
    query = "select count(*) from (select buena_enrich(mail) as e from leads) where e.person_id is not null"
    assert asked(connection, query) == asked(connection, query) == [(5_000,)]
    assert set(sandbox.charges()["count"]) == {2}
    assert store.check()["ok"].all()


def test_several_threads_of_a_large_table_pay_once(
    connection: duckdb.DuckDBPyConnection, sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """Row groups go to different threads, and so do cursors."""
    connection.execute("set threads = 4")
    register_functions(connection, Enricher(client, store))
    people(connection, 100, rows_each=2_500)
    query = """
        select count(*) from (select buena_enrich(mail) as e from leads using sample 10_000 rows)
        where e.title <> ''
    """

    def on_a_cursor(_: int) -> None:
        with connection.cursor() as cursor:
            register_functions(cursor, Enricher(client, store))
            cursor.execute(query).fetchall()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(on_a_cursor, range(3)))
    assert sandbox.credits_used == 100
    assert set(sandbox.charges()["count"]) == {1}


def test_requests_are_full(
    connection: duckdb.DuckDBPyConnection, sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """Fifty leads each, as far as a vector of 2,048 rows goes."""
    register_functions(connection, Enricher(client, store))
    people(connection, 2_048)
    asked(connection, "select buena_enrich(mail) from leads")
    assert sandbox.requests == 41


def test_rows_that_say_nothing_are_invalid_and_keep_their_place(
    connection: duckdb.DuckDBPyConnection, client: BuenaClient, store: EnrichmentStore
) -> None:
    """Null in is a row, too; and the other fields identify."""
    register_functions(connection, Enricher(client, store))
    rows = asked(
        connection,
        """
        select buena_enrich(email, linkedin_url := url, full_name := name, company := firm).status
        from (values (null, null, null, null), ('n/a', null, null, null), ('a@x.example', null, null, null),
                     (null, 'linkedin.com/in/jane', null, null), (null, null, 'Jane Doe', 'Acme'),
                     (null, null, 'Jane Doe', null)) leads(email, url, name, firm)
        """,
    )
    assert [status for (status,) in rows] == [
        *("invalid", "invalid", "enriched", "enriched", "enriched", "invalid")
    ]
    query = "select buena_enrich(first_name := 'Jane', last_name := 'Doe', company := 'Acme Inc.').status"
    assert asked(connection, query) == [("cached",)]
    assert asked(connection, "select buena_enrich().status, buena_enrich(null).error") == [
        ("invalid", NO_IDENTIFIER)
    ]


def test_a_query_that_needs_few_rows_buys_few(
    connection: duckdb.DuckDBPyConnection, sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """What is not read is not bought; explaining and describing cost nothing."""
    register_functions(connection, Enricher(client, store))
    people(connection, 100)
    asked(connection, "explain select buena_enrich(mail) from leads")
    asked(connection, "describe select buena_enrich(mail) as e from leads")
    asked(connection, "select count(*) from (select buena_enrich(mail) as e from leads)")
    assert sandbox.credits_used == 0
    asked(connection, "select buena_enrich(mail) from (from leads order by row limit 7)")
    assert sandbox.credits_used == 7


# --- budgets ---------------------------------------------------------------------------------------------


def test_the_budget_is_that_of_all_vectors_and_queries(
    connection: duckdb.DuckDBPyConnection, sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """Until the function is registered anew."""
    register_functions(connection, Enricher(client, store, max_credits=2_100))
    people(connection, 2_500)
    query = (
        "select e.status, count(*) from (select buena_enrich(mail) as e from leads) group by all order by all"
    )
    assert asked(connection, query) == [("enriched", 2_100), ("deferred", 400)]
    assert asked(connection, query) == [("cached", 2_100), ("deferred", 400)]
    assert sandbox.credits_used == 2_100
    register_functions(connection, Enricher(client, store, max_credits=10))
    assert asked(connection, query) == [("enriched", 10), ("cached", 2_100), ("deferred", 390)]
    (error,) = asked(
        connection,
        "select distinct e.error from (select buena_enrich(mail) as e from leads) where e.error <> ''",
    )
    assert "max_credits" in error[0]


def test_a_query_that_fails_has_spent_its_part_of_the_budget(
    connection: duckdb.DuckDBPyConnection, sandbox: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """The answers before the failure are in the store, and count."""
    register_functions(connection, Enricher(client, store, max_credits=60))
    people(connection, 200)
    sandbox.inject(Fault("unauthorized", after=1, times=None))
    with pytest.raises(duckdb.InvalidInputException):
        asked(connection, "select buena_enrich(mail) from leads")
    sandbox.clear_faults()
    before = sandbox.credits_used
    asked(connection, "select buena_enrich(mail) from leads")
    assert 0 < before < sandbox.credits_used == 60


# --- what cannot be --------------------------------------------------------------------------------------


def test_an_error_of_the_run_is_one_of_duckdb_with_our_words(
    connection: duckdb.DuckDBPyConnection, sandbox: Sandbox, store: EnrichmentStore
) -> None:
    """And the connection is as good as before."""
    with BuenaClient("bna_" + "0" * 64, sandbox.url, backoff=0.01) as wrong:
        register_functions(connection, Enricher(wrong, store))
        with pytest.raises(duckdb.InvalidInputException, match=r"AuthenticationError: .*401"):
            asked(connection, "select buena_enrich('jane@acme.example')")
    assert asked(connection, "select 1") == [(1,)]


def test_who_waits_while_a_vector_fails_buys_nothing_more(store: EnrichmentStore) -> None:
    """Other threads of the same query have no use for what they would buy; the next query has."""
    with (
        Sandbox(limits=None, latency=0.5, not_found=0) as slow,
        BuenaClient(slow.api_key, slow.url, backoff=0.01) as client,
    ):
        slow.inject(Fault("unauthorized"))
        vectors = _Vectors(Enricher(client, store))
        tables = [pl.DataFrame({"email": [f"person{nth}@acme.example"]}) for nth in range(4)]
        with ThreadPoolExecutor(4) as pool:
            failed = list(pool.map(lambda table: _error(vectors, table), tables))
        assert all(isinstance(error, AuthenticationError) for error in failed)
        assert slow.requests == 1
        assert vectors.enrich(tables[0])["status"].to_list() == ["enriched"]


def _error(vectors: _Vectors, table: pl.DataFrame) -> BaseException | None:
    try:
        vectors.enrich(table)
    except AuthenticationError as error:
        return error
    return None


def test_without_a_key_it_says_which_setting_is_missing(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When somebody is to be bought, not before."""
    monkeypatch.setenv("BUENA_STORE", str(tmp_path / "mine.duckdb"))
    register_functions(connection)
    assert asked(connection, "select buena_enrich('n/a').status") == [("invalid",)]
    with pytest.raises(duckdb.InvalidInputException, match=r"SettingsError: .*BUENA_API_KEY"):
        asked(connection, "select buena_enrich('jane@acme.example')")


@pytest.mark.parametrize("mode", ["", "(read_only)"])
def test_the_store_is_not_open_on_the_same_connection(
    connection: duckdb.DuckDBPyConnection, client: BuenaClient, store: EnrichmentStore, mode: str
) -> None:
    """It could not be written: told when the function is made, and when the file is attached later."""
    store.stats()
    connection.execute(f"attach '{store.path}' as crm {mode}")
    with pytest.raises(StoreLockedError, match=r'open itself, as "crm".*Detach it'):
        register_functions(connection, Enricher(client, store))
    connection.execute("detach crm")
    register_functions(connection, Enricher(client, store))
    connection.execute(f"attach '{store.path}' as crm {mode}")
    with pytest.raises(
        duckdb.InvalidInputException, match=r"StoreLockedError: .*already open in this process"
    ):
        asked(connection, "select buena_enrich('jane@acme.example')")
    connection.execute("detach crm")
    assert asked(connection, "select buena_enrich('jane@acme.example').status") == [("enriched",)]


def test_nothing_is_written_to_the_users_file(
    client: BuenaClient, store: EnrichmentStore, tmp_path: Path
) -> None:
    """The function lasts as long as the connection, also if it was made twice."""
    own = tmp_path / "own.duckdb"
    with duckdb.connect(str(own)) as connection:
        connection.execute("create table leads as select 'jane@acme.example' as mail")
    before = own.read_bytes()
    with duckdb.connect(str(own), read_only=True) as connection:
        for _ in range(2):
            register_functions(connection, Enricher(client, store), name="lead_of")
        assert asked(connection, "select lead_of(mail).status from leads") == [("enriched",)]
    assert own.read_bytes() == before


def test_arguments_that_make_no_sense(connection: duckdb.DuckDBPyConnection, store: EnrichmentStore) -> None:
    """Each is told what would."""
    with pytest.raises(InputError, match="takes an Enricher"):
        register_functions(connection, store)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="DuckDB connection is needed"):
        register_functions("own.duckdb", Enricher(store=store))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no name for a function"):
        register_functions(connection, Enricher(store=store), name="enrich; drop table leads")
    with pytest.raises(InputError, match="takes no function: Parser Error"):
        register_functions(connection, Enricher(store=store), name="select")
    connection.close()
    with pytest.raises(InputError, match="connection cannot be used"):
        register_functions(connection, Enricher(store=store))
