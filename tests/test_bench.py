"""The benchmarks themselves: their inputs, their vendor, the work they compare, and what they tell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import polars as pl
import pytest
import schemathesis

from bench import data, stores
from bench.cases import CASES, cold
from bench.figures import Charge, Figure, Measurement, Results, Target
from bench.measuring import PieceError, Side, in_turn, run
from bench.plain_python import identity_keys, score
from bench.report import read, render
from bench.session import Session, Vendor
from bench.sizes import FULL, QUICK, people_in, rows_for
from bench.stores import known_people
from buena_pipeline import BuenaClient, EnrichmentOptions, EnrichmentStore, enrich_frame, score_frame
from buena_pipeline.columns import find_columns
from buena_pipeline.identity import identify
from buena_pipeline.people import group_people
from buena_pipeline.wire import Answer, Halt

CONTRACT = Path(__file__).parent / "contract"
LEAD = ("email", "linkedin_url", "first_name", "last_name", "company")
KEYS = ("key_linkedin", "key_email_0", "key_mailbox_0", "key_name")


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """A session with nothing in it."""
    return Session(tmp_path, QUICK, Results({"processor": "?", "memory": "?"}, "quick"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendor]:
    """The fast server, in its own process."""
    session = Session(tmp_path_factory.mktemp("bench"), QUICK, Results({}, "quick"))
    with session.vendor(0.0) as vendor:
        yield vendor


@pytest.fixture
def vendor(running: Vendor) -> Vendor:
    """The same, having charged nobody yet."""
    running.tally()
    return running


# --- leads and answers -------------------------------------------------------------------------------------


def test_leads_are_the_same_however_they_are_made() -> None:
    """In parts or at once, today or in a year: the numbers of old results stay comparable."""
    whole = data.leads(0, 2_000)
    assert data.leads(700, 900).equals(whole[700:900])
    assert whole.select("email", "company").row(2) == (
        "thomas.lombardi.2@alderbay-analytics.de",
        "Alder Bay Analytics",
    )
    assert not data.leads(0, 2_000, spelling=1).equals(whole)


def test_nobody_is_somebody_else() -> None:
    """The library finds exactly the people whom the table was made of, by whatever a row says of them."""
    table = data.leads(0, 20_000)
    for rows in (table, pl.concat([table, data.leads(0, 20_000, spelling=1)])):
        person = group_people(identify(rows, find_columns(rows.schema)))
        pairs = pl.DataFrame({"person": person, "key": rows["key"]}).unique()
        assert pairs["person"].n_unique() == pairs["key"].n_unique() == pairs.height == people_in(20_000)


@pytest.mark.parametrize("people", [1, 9, 10, 50_000, 900_000])
def test_rows_are_counted_for_people(people: int) -> None:
    """A table for so many people has so many."""
    assert people_in(rows_for(people)) == people


def test_answers_are_about_the_people_of_the_leads() -> None:
    """Of the same number in both, in any part."""
    known = data.answers(100, 200, at=datetime.now(UTC))
    first = data.first_rows(100, 200)
    assert known["key"].equals(first["key"])
    assert (
        known["first_name"]
        .str.to_lowercase()
        .str.head(1)
        .equals(first["first_name"].str.strip_chars().str.to_lowercase().str.head(1))
    )


def test_three_keys_in_ten_are_chained() -> None:
    """Of ten rows seven are somebody new, and the three others hang together only as a chain."""
    person = group_people(data.keys(0, 10_000))
    assert person.n_unique() == 7_000
    assert data.keys(0, 10_000)["key_email_0"].drop_nulls().n_unique() > 7_000


def test_plain_python_says_the_same() -> None:
    """What the library is compared with does the same work."""
    table = data.leads(0, 5_000)
    identified = identify(table, find_columns(table.schema)).select(KEYS)
    assert [identity_keys(*row) for row in table.select(LEAD).iter_rows()] == identified.rows()
    known = data.answers(0, 3_000, at=datetime.now(UTC)).select(pl.all().name.prefix("buena_"))
    assert [score(row) for row in known.iter_rows(named=True)] == score_frame(known)["buena_score"].to_list()


# --- stores ------------------------------------------------------------------------------------------------


def test_a_built_store_is_as_a_run_leaves_it(tmp_path: Path) -> None:
    """It passes its own checks, serves everybody, and buys nobody: there is no client and no key."""
    path, answers = tmp_path / "known.duckdb", tmp_path / "answers.parquet"
    table = data.leads(0, 1_000)
    stores.build(path, people_in(1_000), answers=answers)
    store = EnrichmentStore(path)
    assert store.check()["ok"].all()
    before = store.stats()
    enriched = enrich_frame(table, store=store)
    assert enriched["buena_status"].unique().to_list() == ["cached"]
    joined = table.join(pl.read_parquet(answers), on="key", how="left", maintain_order="left")
    assert enriched["buena_person_id"].equals(joined["person_id"])
    assert enriched["buena_bio"].equals(joined["bio"])
    assert store.stats().requests == before.requests
    assert sorted(path.name for path in tmp_path.glob("empty-*")) == []


def test_the_ids_of_a_built_store_are_those_of_a_run(tmp_path: Path, vendor: Vendor) -> None:
    """Bought for real, the same people get the same ids."""
    table = data.first_rows(0, 60)
    ids, _ = known_people(table, EnrichmentStore(tmp_path / "empty.duckdb"))
    with BuenaClient(vendor.key, vendor.url, limits=None) as client:
        enriched = enrich_frame(table, store=tmp_path / "bought.duckdb", client=client)
    assert enriched["buena_person_id"].to_list() == ids.to_list()
    assert vendor.tally() == {"requests": 2, "leads": 60, "people": 60, "most": 1}


# --- the vendor --------------------------------------------------------------------------------------------


def test_the_fast_vendor_keeps_to_the_contract(vendor: Vendor) -> None:
    """Its answer is one that the published schema describes, about as large as a real one."""
    leads = data.leads(0, 50).select(pl.col(LEAD)).to_dicts()
    names = {"linkedin_url": "linkedinUrl", "first_name": "firstName", "last_name": "lastName"}
    sent = [{names.get(name, name): value for name, value in lead.items() if value} for lead in leads]
    schema = schemathesis.openapi.from_path(CONTRACT / "openapi.yaml")
    answer = httpx.post(f"{vendor.url}/enrich", json={"leads": sent}, headers={"x-api-key": vendor.key})
    assert schema["/enrich"]["POST"].is_valid_response(answer)
    assert 60_000 < len(answer.content) < 75_000
    items = answer.json()["data"]["enriched"]
    assert [item["input"] for item in items] == sent
    assert answer.json()["data"]["creditsUsed"] == 50
    assert vendor.tally()["most"] > 1  # of fifty rows five are somebody again


def test_the_library_reads_the_fast_vendor(vendor: Vendor) -> None:
    """Every lead is found, with data of its own."""
    leads = data.first_rows(0, 50).select(LEAD).to_dicts()
    with BuenaClient(vendor.key, vendor.url, limits=None) as client:
        answer = client.enrich(leads, EnrichmentOptions())
        assert client.health().may_enrich
    assert isinstance(answer, Answer)
    assert answer.credits_used == len(answer.items) == 50
    assert len({item.body for item in answer.items}) == 50
    assert vendor.tally() == {"requests": 1, "leads": 50, "people": 50, "most": 1}


def test_the_fast_vendor_refuses(vendor: Vendor) -> None:
    """Another key, too many leads, no JSON: nothing is charged."""
    with BuenaClient("bna_wrong", vendor.url, limits=None) as client:
        assert isinstance(client.enrich([{"email": "a.1@b.example"}], EnrichmentOptions()), Halt)
    headers = {"x-api-key": vendor.key}
    for body in (b"{", json.dumps({"leads": [{"email": "a.1@b.example"}] * 51}).encode()):
        refused = httpx.post(f"{vendor.url}/enrich", content=body, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (400, "VALIDATION_ERROR")
    assert vendor.tally()["leads"] == 0


# --- measuring ---------------------------------------------------------------------------------------------


def test_a_piece_is_measured_by_the_operating_system(session: Session, vendor: Vendor) -> None:
    """In a process of its own; and its charges by the vendor."""
    leads = session.leads(rows_for(100))
    side = Side(
        "bare httpx",
        "cold.bare",
        {"leads": leads, "url": vendor.url, "key": vendor.key, "in_flight": 2},
        100,
        100,
    )
    (measured,) = session.compare("a case", [side], repeats=2, vendor=vendor)
    assert len(measured.samples) == 2
    for sample in measured.samples:
        assert 0 < sample["cpu"] < sample["process_cpu"]
        assert sample["before_cpu"] + sample["cpu"] <= sample["process_cpu"] * 1.01
        assert 0 < sample["before_peak"] <= sample["peak"]
        assert sample["told"] == {"leads": 100, "requests": 2}
    assert session.results.charges == [Charge("bare httpx, a case", 100, 100, 1, ours=False)] * 2


def test_a_broken_piece_is_told() -> None:
    """With what it said last."""
    with pytest.raises(PieceError, match=r"a piece .* ended with 1:(?s:.*)No such file"):
        run(Side("a piece", "columns.people_ours", {"keys": "not there.parquet"}))


def test_sides_are_measured_in_turn() -> None:
    """Whoever was last in one round is first in the next one."""
    one, two = Side("one", ""), Side("two", "")
    assert [side.name for side in in_turn([one, two], 3)] == ["one", "two", "two", "one", "one", "two"]


def test_charges_of_the_library_are_counted(session: Session) -> None:
    """The same people in other spellings, and again, cost nothing more."""
    session.sizes = replace(QUICK, paid=(100,))
    assert cold.charges(session) == []
    (charge,) = session.results.charges
    assert (charge.people, charge.charged, charge.most, charge.exact) == (100, 100, 1, True)
    assert session.results.sound


# --- what is told ------------------------------------------------------------------------------------------


def test_figures() -> None:
    """Ratios are paired, targets bound them from above or from below."""
    slow = Figure("a", "a", [2.0, 3.0, 4.0], "b", [1.0, 1.0, 2.0], target=Target(2.5))
    assert (slow.value, slow.ratios, slow.spread, slow.met) == (3.0, [2.0, 3.0, 2.0], (2.0, 3.0), False)
    fast = Figure("a", "a", [1.0], "b", [20.0], target=Target(15, at_least=True), turned=True)
    assert (fast.value, fast.met) == (20.0, True)
    rate = Figure("a", "a", [3_700.0, 3_800.0], "ideal", [4_000.0], target=Target(0.92, at_least=True))
    assert (rate.value, rate.met) == (3_750 / 4_000, True)
    alone = Figure("a", "a", [0.9, 1.0, 1.1], target=Target(1.2))
    assert (alone.value, alone.spread, alone.met) == (1.0, (0.9, 1.1), True)
    assert Figure("a", "a", [1.0]).met is None


def an_outcome() -> Results:
    """Results with something of everything."""
    sample = {"wall": 2.0, "cpu": 3.0, "before_cpu": 0.5, "before_peak": 10**8, "peak": 10**9, "told": {}}
    return Results(
        {"processor": "2 cores", "memory": "24 GB"},
        "quick",
        [
            Figure("one", "Something: time", [2.0, 2.2], "another | thing", [1.0, 1.1], target=Target(2.5)),
            Figure("two", "Memory", [5.0], unit="GB", target=Target(4.0), note="a note"),
        ],
        [
            Measurement("warm, file to file", "enrich_frame, lazy", 1_000, [sample]),
            Measurement("warm, file to file", "enrich_frame, lazy", 10_000, [sample | {"wall": 10.0}]),
            Measurement("cold, beside others", "a loop", 100, [sample]),
        ],
        [
            Charge("enrich_frame, cold", 100, 100, 1),
            Charge("a loop, cold, beside others", 90, 100, 2, ours=False),
        ],
        ["a remark"],
        seconds=61.0,
    )


def test_the_page_tells_everything(tmp_path: Path) -> None:
    """Also after a way through JSON, from which page and chart are made."""
    results = an_outcome()
    path = tmp_path / "results.json"
    path.write_text(json.dumps(asdict(results)), encoding="utf-8")
    page = render(read(path), "results.svg")
    assert page == render(results, "results.svg")
    first = "2.10 s (2.00–2.20) | 1.05 s (1.00–1.10): another / thing | 2.00 (2.00–2.00) | ≤ 2.5 | yes"
    for told in (
        "`make bench-quick` in 1 min 1 s",
        f"| Something: time | {first} |",
        "| Memory<br>a note | 5.00 GB | – | – | ≤ 4 GB | **no** |",
        "| enrich_frame, cold | 1 | 100 | 1.0000 | 1 |",
        "| 10,000 | enrich_frame, lazy | 10.0 | 3.00 | 1.00 | × 5.00 | × 1.00 |",
        "| a loop | 100 | 50.0 | 30.0 | 1.1111 |",
        "- a remark",
    ):
        assert told in page, told


def test_only_what_is_broken_fails() -> None:
    """A missed target does not; a charge too many or too few of the library does, and so does an error."""
    results = an_outcome()
    assert results.sound
    assert not any(figure.met for figure in results.figures[1:])
    for charge in (Charge("x", 100, 101, 2), Charge("x", 100, 99, 1), Charge("x", 100, 100, 2)):
        results.charges[0] = charge
        assert not results.sound
    results.charges[0] = Charge("x", 100, 100, 1)
    results.failures.append("warm: it broke")
    assert not results.sound


def test_the_chart_is_drawn_offline() -> None:
    """Where its libraries are installed, which the tests do without."""
    pytest.importorskip("altair")
    pytest.importorskip("vl_convert")
    from bench.chart import draw

    picture = draw(an_outcome())
    assert picture.startswith("<svg")
    assert "Something: time" in picture


def test_full_and_quick_measure_the_same_cases() -> None:
    """The quick run differs in sizes only; both end with the sizes that targets are about."""
    assert FULL.main == 1_000_000
    assert FULL.large == FULL.scaling[-1] == 10_000_000
    assert list(CASES)[:2] == ["imports", "warm"]
    assert FULL.up_to(100_000).scaling == (10_000, 100_000)
