"""Tables that are read a chunk at a time: the same answers as in one piece, nothing bought without need."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from random import Random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buena_pipeline import (
    BuenaClient,
    Enricher,
    EnrichmentStore,
    Sandbox,
    enrich_frame,
    join_back,
    lead_table,
    plan_frame,
    records,
)
from buena_pipeline.errors import AuthenticationError, ColumnError, InputError
from buena_pipeline.schema import ENRICHED, UUID
from buena_pipeline.store import digest_columns, digest_keys, matching
from buena_pipeline.survey import Prints
from buena_pipeline.uuids import as_number, as_text
from tests.keys import key_of

STATED = ["buena_status", "buena_enriched_at"]
"""What is not the same in two runs: the first one buys, and a moment later."""


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven rows are a chunk, five keys a look-up, three a part of it."""
    monkeypatch.setattr(lead_table, "CHUNK", 7)
    monkeypatch.setattr(matching, "AT_ONCE", 5)
    monkeypatch.setattr(matching, "A_PART", 3)


@pytest.fixture
def vendor() -> Iterator[Sandbox]:
    """A vendor who knows everybody."""
    with Sandbox(limits=None, not_found=0.0) as sandbox:
        yield sandbox


@pytest.fixture
def client(vendor: Sandbox) -> Iterator[BuenaClient]:
    """A client of that vendor."""
    with BuenaClient(vendor.api_key, vendor.url) as client:
        yield client


def leads(rows: int = 60, people: int = 25) -> pl.DataFrame:
    """Rows of so many people, of whom each comes up in several chunks."""
    number = pl.int_range(rows, eager=True)
    return pl.DataFrame({"row": number}).select(
        "row",
        email=pl.format("p{}@acme{}.example", pl.col("row") % people, pl.col("row") % people),
        country=pl.when(pl.col("row") % people < people // 2).then(pl.lit("DE")).otherwise(pl.lit("FR")),
    )


def test_a_lazy_frame_gives_what_the_table_gives_and_pays_once(
    vendor: Sandbox, client: BuenaClient, store: EnrichmentStore, tmp_path: Path
) -> None:
    """By every engine and into every file; the second time it costs nothing."""
    table = leads()
    lazy = enrich_frame(table.lazy(), client=client, store=store)
    assert lazy.collect_schema() == {**table.schema, **{f"buena_{name}": ENRICHED[name] for name in ENRICHED}}
    assert vendor.requests == 0
    first = lazy.collect(engine="streaming")
    assert first["buena_status"].unique().to_list() == ["enriched"]
    assert vendor.charges()["count"].to_list() == [1] * 25
    for again in (
        lazy.collect(engine="streaming"),
        lazy.collect(engine="in-memory"),
        enrich_frame(table, store=store),
    ):
        assert again.drop(STATED).equals(first.drop(STATED))
        assert again["buena_status"].unique().to_list() == ["cached"]
    lazy.sink_parquet(tmp_path / "out.parquet")
    assert pl.read_parquet(tmp_path / "out.parquet").equals(lazy.collect())
    lazy.select("row", "buena_title").sink_csv(tmp_path / "out.csv")
    assert pl.read_csv(tmp_path / "out.csv").equals(first.select("row", "buena_title"))
    assert pl.concat([lazy.head(3), lazy.tail(3)]).collect()["row"].to_list() == [0, 1, 2, 57, 58, 59]
    assert vendor.credits_used == 25


@pytest.mark.parametrize("engine", ["streaming", "in-memory"])
@pytest.mark.parametrize(
    ("query", "paid"),
    [
        (lambda lazy: lazy.select("email", "row"), 0),
        (lambda lazy: lazy.select(pl.len()), 0),
        (lambda lazy: lazy.filter(pl.col("country") == "DE").select("email"), 0),
        (lambda lazy: lazy.head(10), 10),
        (lambda lazy: lazy.head(40), 25),
        (lambda lazy: lazy.head(10).select("buena_title"), 10),
        (lambda lazy: lazy.filter(pl.col("country") == "DE"), 12),
        (lambda lazy: lazy.filter(pl.col("row") >= 58).select("buena_status"), 2),
        (lambda lazy: lazy.head(20).filter(pl.col("row") >= 15), 5),
        (lambda lazy: lazy.filter(pl.col("buena_status").is_in(["enriched", "cached"])), 25),
        (lambda lazy: lazy.filter(pl.col("row") < 3, pl.col("buena_title") != "CTO"), 3),
        (lambda lazy: lazy.filter(pl.col("row") < 9).filter(pl.col("buena_company") != ""), 9),
        (
            lambda lazy: lazy.filter(pl.col("buena_title") != "CTO").filter(
                pl.col("row") > 0, pl.col("row") < 7
            ),
            6,
        ),
        (lambda lazy: lazy.filter(pl.col("row") < 8).drop_nulls("buena_title"), 8),
        (lambda lazy: lazy.filter((pl.col("row") < 3) | (pl.col("buena_title") == "CTO")), 25),
        (lambda lazy: lazy.filter(~((pl.col("row") < 3) & (pl.col("buena_title") == "CTO"))), 25),
    ],
)
def test_what_the_query_does_not_need_is_not_bought(  # noqa: PLR0917
    vendor: Sandbox, client: BuenaClient, store: EnrichmentStore, query, paid: int, engine
) -> None:
    """Columns, row limits and filters on the table's own columns reach the source."""
    lazy = query(enrich_frame(leads().lazy(), client=client, store=store))
    collected = lazy.collect(engine=engine)
    assert vendor.credits_used == paid
    whole = query(enrich_frame(leads(), client=client, store=store).lazy()).collect()
    names = [name for name in collected.columns if name not in STATED]
    assert collected.select(names).equals(whole.select(names))


def test_people_whom_only_a_later_row_links_are_bought_once(
    vendor: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """Also if a filter leaves out the row that links them."""
    url = "https://www.linkedin.com/in/jane-doe"
    table = pl.DataFrame(
        {
            "email": [
                "jane@acme.example",
                *(f"p{n}@acme.example" for n in range(20)),
                None,
                "jane@acme.example",
            ],
            "linkedin_url": [None] * 21 + [url, url],
            "keep": [True] * 22 + [False],
        }
    )
    kept = enrich_frame(table.lazy(), client=client, store=store).filter("keep").collect()
    assert kept["buena_person_id"][0] == kept["buena_person_id"][21]
    assert vendor.credits_used == 21


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), rows=st.integers(0, 30))
def test_chunks_make_no_difference(tmp_path_factory: pytest.TempPathFactory, seed: int, rows: int) -> None:
    """A plan of a table in memory and one of the same table in pieces say the same of each row."""
    dice = Random(seed)
    choose = {
        "email": [None, "n/a", *(f"p{n}@x.example" for n in range(4)), "info@x.example; p1@x.example"],
        "linkedin_url": [None, *(f"linkedin.com/in/p{n}" for n in range(4)), "x.example"],
        "first_name": [None, "Jane", "Jo"],
        "last_name": [None, "Doe"],
        "company": [None, "Acme Inc", "ACME"],
    }
    columns = {name: [dice.choice(values) for _ in range(rows)] for name, values in choose.items()}
    table = pl.DataFrame(columns, schema=dict.fromkeys(choose, pl.String))
    store = EnrichmentStore(tmp_path_factory.mktemp("plan") / "buena.duckdb")
    in_pieces = plan_frame(table.lazy(), store=store)
    lead_table.CHUNK, before = 1_000, lead_table.CHUNK
    matching.AT_ONCE, matching.A_PART = 1_000, 1_000
    try:
        whole = plan_frame(table, store=store)
    finally:
        lead_table.CHUNK = before
        matching.AT_ONCE, matching.A_PART = 5, 3
    assert in_pieces == whole
    assert in_pieces.decisions.equals(whole.decisions)


def test_rows_that_come_in_another_order_find_their_person(
    vendor: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """A query without an order is run twice, and each row gets what is its own."""
    dice = Random(7)

    def shuffled(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.sample(fraction=1, shuffle=True, seed=dice.randrange(2**32))

    lazy = leads().lazy().map_batches(shuffled)
    enriched = enrich_frame(lazy, client=client, store=store).collect()
    expected = enrich_frame(leads(), store=store)
    assert enriched["row"].to_list() != list(range(60))
    assert enriched.sort("row").drop(STATED).equals(expected.drop(STATED))
    assert vendor.credits_used == 25


def test_rows_that_nobody_has_seen_before_are_deferred(client: BuenaClient, store: EnrichmentStore) -> None:
    """And people whose rows are gone are not bought; the table that is there comes back whole."""
    readings = iter([leads(20, 20), leads(10, 10), pl.concat([leads(12, 12), leads(20, 20).tail(2)])])

    def changing(_: pl.DataFrame) -> pl.DataFrame:
        return next(readings)

    lazy = leads(0).lazy().map_batches(changing)
    result = Enricher(client, store).run(lazy)
    assert (result.report.enriched, result.report.deferred) == (10, 10)
    frame = result.frame.collect()
    assert frame["buena_status"].to_list() == ["enriched"] * 10 + ["deferred"] * 4
    assert frame["buena_error"][10:].str.contains("not there any more").all()

    grown = iter([leads(5, 5), leads(8, 8)])
    lazy = leads(0).lazy().map_batches(lambda _: next(grown))
    late = Enricher(client, store).run(lazy).frame.collect()
    assert late["buena_status"].to_list() == ["cached"] * 5 + ["deferred"] * 3
    assert late["buena_error"][5:].str.contains("not there when the run began").all()


def test_a_run_of_a_lazy_frame_buys_now_and_joins_later(
    vendor: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """The report is there at once; what was forgotten meanwhile is told; columns and rows can be chosen."""
    result = Enricher(client, store, prefix="x_").run(leads().lazy())
    assert (result.report.rows, result.report.enriched, vendor.credits_used) == (60, 25, 25)
    assert repr(result).startswith("EnrichmentResult(60 rows, run ")
    assert isinstance(result.frame, pl.LazyFrame)
    assert result.frame.select("x_email").head(2).collect().height == 2
    assert result.frame.select("row").collect()["row"].to_list() == list(range(60))
    store.forget("p3@acme3.example")
    after = result.frame.collect()
    gone = after.filter(pl.col("row") % 25 == 3)
    assert gone["x_status"].unique().to_list() == ["deferred"]
    assert gone["x_error"].str.contains("erased").all()
    assert after.filter(pl.col("row") % 25 != 3)["x_status"].unique().to_list() == ["enriched"]


def test_a_file_that_is_written_anew_serves_from_its_new_places(
    client: BuenaClient, store: EnrichmentStore
) -> None:
    """Records are found by their place in the file only as long as it is the same file."""
    enrich_frame(leads(25), client=client, store=store)
    result = Enricher(store=store).run(leads().lazy())
    before = result.frame.collect()
    store.forget("p0@acme0.example")
    after = result.frame.collect()
    others = pl.col("row") % 25 != 0
    assert after.filter(others).equals(before.filter(others))


def test_the_best_are_bought_first_over_all_chunks(client: BuenaClient, store: EnrichmentStore) -> None:
    """The priority is one number per row of the whole table, also where the last rows are the best."""
    table = leads(60, 60)
    lazy = enrich_frame(
        table.lazy(), client=client, store=store, max_credits=10, priority=pl.col("row").rank()
    )
    bought = lazy.collect().filter(pl.col("buena_status") == "enriched")
    assert bought["row"].to_list() == list(range(50, 60))
    with pytest.raises(InputError, match='priority asks for a column "nowhere"'):
        enrich_frame(table.lazy(), store=store, priority=pl.col("nowhere"))
    text = enrich_frame(table.lazy(), client=client, store=store, max_credits=1, priority=pl.col("country"))
    assert text.collect()["buena_status"].to_list().count("enriched") == 1


def test_errors_come_out_as_they_are(vendor: Sandbox, store: EnrichmentStore) -> None:
    """Before any cost where they can be known, and never as a traceback of polars."""
    with pytest.raises(ColumnError, match="No column says"):
        enrich_frame(pl.LazyFrame({"x": [1]}), store=store)
    with BuenaClient("bna_wrong", vendor.url) as stranger:
        lazy = enrich_frame(leads().lazy(), client=stranger, store=store)
        for engine in ("streaming", "in-memory"):
            with pytest.raises(AuthenticationError):
                lazy.collect(engine=engine)
    assert vendor.credits_used == 0


def test_an_enricher_of_its_own_client_can_stream_more_than_once(
    vendor: Sandbox, store: EnrichmentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each collection makes and closes a client from the environment."""
    monkeypatch.setenv("BUENA_API_KEY", vendor.api_key)
    monkeypatch.setenv("BUENA_BASE_URL", vendor.url)
    lazy = enrich_frame(leads().lazy(), store=store)
    for paid in (10, 25):
        lazy.head(10 if paid == 10 else 60).collect()
        assert vendor.credits_used == paid


# --- stopped and killed ----------------------------------------------------------------------------------

SINK = """
import sys, polars as pl
from buena_pipeline import BuenaClient, enrich_frame, lead_table
lead_table.CHUNK = 100
key, url, source, store, target = sys.argv[1:]
with BuenaClient(key, url, concurrency=2, limits=None) as client:
    tell = lambda progress: print(progress.done, flush=True)
    lazy = enrich_frame(pl.scan_parquet(source), client=client, store=store, progress=tell)
    lazy.sink_parquet(target)
print("done")
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_streamed_run_that_is_stopped_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """Nobody is paid twice, by the vendor's count; the output is complete; Ctrl-C loses no answer."""
    monkeypatch.setattr(lead_table, "CHUNK", 300)
    monkeypatch.setattr(matching, "AT_ONCE", 500)
    monkeypatch.setattr(matching, "A_PART", 200)
    source, target, store = (tmp_path / name for name in ("leads.parquet", "out.parquet", "buena.duckdb"))
    table = leads(2_000, 1_500)
    table.write_parquet(source)
    with Sandbox(limits=None, not_found=0.0, latency=0.05) as vendor:
        command = [sys.executable, "-c", textwrap.dedent(SINK), vendor.api_key, vendor.url]
        command += [str(path) for path in (source, store, target)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as stopped:
            assert stopped.stdout is not None
            while int(stopped.stdout.readline()) < 100:
                pass
            os.kill(stopped.pid, number)
            stopped.communicate()
        assert stopped.returncode != 0
        assert 100 <= vendor.credits_used < 1_500
        with BuenaClient(vendor.api_key, vendor.url, limits=None) as client:
            rest = enrich_frame(pl.scan_parquet(source), client=client, store=store)
            rest.sink_parquet(target)
            out = pl.read_parquet(target)
            assert out.select(table.columns).equals(table)
            lost = out.filter(pl.col("buena_status") == "deferred")
            assert lost["buena_error"].str.contains("perhaps charged").all()
            if number == signal.SIGINT:
                assert lost.is_empty()
            assert vendor.charges()["count"].unique().to_list() == [1]
            known = out.filter(pl.col("buena_status").is_in(["enriched", "cached"]))
            assert known.height + lost.height == 2_000
            assert EnrichmentStore(store).check()["ok"].all()


# --- numbers instead of text -----------------------------------------------------------------------------


@given(st.lists(st.none() | st.integers(0, 2**128 - 1)))
def test_ids_are_numbers_and_text(numbers: list[int | None]) -> None:
    """There and back, as Python's own UUIDs read."""
    import uuid

    series = pl.Series("id", numbers, dtype=UUID)
    text = as_text(series)
    assert text.to_list() == [None if number is None else str(uuid.UUID(int=number)) for number in numbers]
    assert as_number(text).equals(series)
    assert (text.name, text.dtype) == ("id", pl.String)


@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_digests_are_those_of_anybody(values: list[str | None]) -> None:
    """DuckDB and Python come to one number, which anybody can look for in the store."""
    rows = pl.DataFrame(
        {"key_email_0": values, "key_linkedin": values[::-1], "other": 1},
        schema_overrides=dict.fromkeys(("key_email_0", "key_linkedin"), pl.String),
    )
    digests = digest_columns(rows)
    assert digests.schema == {"key_email_0": UUID, "key_linkedin": UUID}
    expected = [None if value is None else key_of("email", value) for value in values]
    assert digests["key_email_0"].to_list() == expected
    keys = pl.DataFrame({"kind": "name", "value": [value or "" for value in values], "more": 1})
    digested = digest_keys(keys)
    assert digested["key"].to_list() == [key_of("name", value or "") for value in values]
    assert digested.columns == ["kind", "more", "key"]
    assert digest_keys(keys.clear()).is_empty()


@given(st.lists(st.integers(0, 5)), st.lists(st.integers(0, 7)), st.integers(0, 9))
def test_prints_find_a_row_that_says_the_same(first: list[int], again: list[int], offset: int) -> None:
    """The one in its place if that says the same, another one else, and none if there is none."""
    prints = Prints()
    for number in first:
        prints.add(pl.Series([number], dtype=pl.UInt64))
    rows = prints.rows(pl.Series(again, dtype=pl.UInt64), offset=offset).to_list()
    assert len(rows) == len(again)
    for number, row in zip(again, rows, strict=True):
        assert (row is None) == (number not in first)
        assert row is None or first[row] == number
    same = prints.rows(pl.Series(first, dtype=pl.UInt64)[offset:], offset=offset).to_list()
    assert same == list(range(len(first)))[offset:]


def test_somebody_with_more_keys_than_bits_is_looked_up(
    vendor: Sandbox, client: BuenaClient, store: EnrichmentStore
) -> None:
    """A hundred addresses of one person: all are known from then on, whichever comes alone."""
    many = pl.DataFrame(
        {"email": [f"jane+{n}@acme{n}.example" for n in range(100)], "linkedin_url": "linkedin.com/in/jane"}
    )
    for _ in range(2):
        assert enrich_frame(many, client=client, store=store)["buena_person_id"].n_unique() == 1
    alone = enrich_frame(pl.DataFrame({"email": ["jane@acme99.example"]}), client=client, store=store)
    assert alone["buena_status"].to_list() == ["cached"]
    assert vendor.credits_used == 1


def test_only_new_keys_are_learned(client: BuenaClient, store: EnrichmentStore) -> None:
    """A table that says more of people who are known adds what is new, once."""
    table = leads(10, 10)
    enrich_frame(table, client=client, store=store)
    count = "select count(*) from identity"
    before = store.sql(count).item()
    more = table.with_columns(email_2=pl.format("somebody.{}@mail.example", "row"))
    for _ in range(2):
        enrich_frame(more, store=store)
        assert store.sql(count).item() == before + 10
    assert enrich_frame(more.select("email_2"), store=store)["buena_status"].unique().to_list() == ["cached"]


def test_records_that_stand_apart_are_read_ahead(
    client: BuenaClient, store: EnrichmentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People bought long before the others of their chunk, or in another order: each row has its own."""
    monkeypatch.setattr(records, "CHUNK", 7)
    monkeypatch.setattr(records, "_MOST", 4)
    monkeypatch.setattr(join_back, "AHEAD", 21)
    table = leads(80, 80)
    enrich_frame(table, client=client, store=store)
    mixed = pl.concat(
        [table[40:], table[:10], table[60:], table[:40].sample(fraction=1, shuffle=True, seed=3)]
    )
    enriched = enrich_frame(mixed.lazy(), store=store).collect()
    own = enrich_frame(table, store=store).select("row", "buena_person_id", "buena_email", "buena_title")
    assert enriched.select(own.columns).equals(mixed.select("row").join(own, on="row", maintain_order="left"))
    assert enriched["buena_status"].unique().to_list() == ["cached"]
