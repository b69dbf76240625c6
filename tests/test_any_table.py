"""The same leads in every form a table can have: the same people, paid once, and every row in its place."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
from polars.testing import assert_frame_equal

from buena_pipeline import (
    BuenaClient,
    Enricher,
    EnrichmentStore,
    Sandbox,
    enrich_frame,
    plan_frame,
    read_table,
)
from buena_pipeline.cli import main
from buena_pipeline.errors import InputError
from buena_pipeline.tables import as_frame

ROOT = Path(__file__).parent.parent
EXPORTS = sorted(
    path for path in (Path(__file__).parent / "data" / "exports").iterdir() if path.suffix not in {"", ".md"}
)

LEADS = pl.DataFrame(
    {
        "Email": ["ada@acme.example", None, "ADA+crm@acme.example", "bo@acme.example"],
        "Company": ["Acme", None, None, "Bolt"],
        "Deal": [10, None, 3, 4],
    }
)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox that finds everybody."""
    with Sandbox(limits=None, not_found=0.0) as running:
        yield running


# --- files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", EXPORTS, ids=lambda path: path.name)
def test_an_export_is_read_as_its_author_meant_it(path: Path) -> None:
    """Letters, quotes, leading zeros and line breaks as they were; five rows, whatever stands above them."""
    table = read_table(path)
    names = table.select(pl.col("First Name", "Last Name").replace("", None)).rows()
    assert names == [
        ("Zoë", "Müller"),
        ("José", "Núñez"),
        ("Ada", "Lovelace"),
        ("Zoë", "Müller"),
        (None, None),
    ]
    assert table["Company"].head(3).to_list() == ["Müller & Söhne GmbH", "Bolt, S.A.", "Engines Ltd"]
    if "Note" in table.columns:
        assert table["Phone"].head(2).to_list() == ["0049 30 901820", "007"]
        assert table[1, "Note"] == 'says "hola", always'
        assert table[0, "Note"].split() == ["called", "twice;", "prefers", "mail"]


def test_people_of_every_export_are_paid_once(client: BuenaClient, sandbox: Sandbox, tmp_path: Path) -> None:
    """One store, every file after the other: the second file costs nothing, and all tell the same people."""
    people = {}
    for path in EXPORTS:
        table = read_table(str(path))
        enriched = enrich_frame(table, client=client, store=tmp_path / "buena.duckdb")
        assert_frame_equal(enriched.select(table.columns), table)
        people[path.name] = tuple(enriched["buena_person_id"])
    assert len(EXPORTS) == 11
    assert len(set(people.values())) == 1
    first, second, third, again, nobody = people.popitem()[1]
    assert first == again
    assert nobody is None
    assert len({first, second, third}) == 3
    assert sandbox.charges()["count"].to_list() == [1, 1, 1]


@pytest.mark.parametrize("path", EXPORTS, ids=lambda path: path.name)
def test_the_command_line_takes_every_export(
    path: Path, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it writes is the table and what was added; no option says how to read it."""
    monkeypatch.setenv("BUENA_API_KEY", sandbox.api_key)
    monkeypatch.setenv("BUENA_BASE_URL", sandbox.url)
    output = tmp_path / "out.parquet"
    assert main(["enrich", str(path), "-o", str(output), "--store", str(tmp_path / "s.duckdb"), "-q"]) == 0
    table, enriched = read_table(path), pl.read_parquet(output)
    assert_frame_equal(enriched.select(table.columns), table)
    assert enriched["buena_status"].to_list() == [*["enriched"] * 4, "invalid"]
    assert sandbox.credits_used == 3


def test_a_workbook_keeps_what_is_in_its_cells() -> None:
    """A text in a column of numbers makes all of it text; dates are dates."""
    table = read_table(EXPORTS[-1])
    assert EXPORTS[-1].name == "workbook.xlsx"
    assert table["Deal"].to_list() == ["1200.5", "7", "on hold", None, None]
    assert table["Since"].dtype == pl.Date
    assert table["Since"].is_null().to_list() == [False, True, False, True, True]


# --- tables of other libraries ---------------------------------------------------------------------------


def pandas(**more: Any) -> pd.DataFrame:
    """The leads as pandas has them by default: None and NaN."""
    return pd.DataFrame(LEADS.to_dict(as_series=False), **more)


def pyarrow_backed() -> pd.DataFrame:
    """The leads as ``pandas.read_parquet(dtype_backend="pyarrow")`` brings them."""
    types = {"Email": pa.string(), "Company": pa.dictionary(pa.int8(), pa.string()), "Deal": pa.int64()}
    return pd.DataFrame({name: LEADS[name].to_list() for name in types}).astype(
        {name: pd.ArrowDtype(dtype) for name, dtype in types.items()}
    )


PANDAS: dict[str, Callable[[], pd.DataFrame]] = {
    "plain": pandas,
    "objects": lambda: pandas(dtype=object).fillna(np.nan),
    "NA": lambda: pandas(dtype=object).where(lambda frame: frame.notna(), pd.NA),
    "nullable": lambda: pandas().astype({"Email": "string", "Company": "string", "Deal": "Int64"}),
    "converted": lambda: pandas().convert_dtypes(),
    "pyarrow": lambda: pandas().convert_dtypes(dtype_backend="pyarrow"),
    "arrow types": pyarrow_backed,
    "categories": lambda: pandas().astype({"Email": "category", "Company": "category"}),
    "an index of text": lambda: pandas(index=list("abcd")),
    "an index with a name": lambda: pandas(index=pd.Index([7, 8, 9, 10], name="crm_id")),
    "an index called like a column": lambda: pandas(index=pd.Index([7, 8, 9, 10], name="Email")),
    "two indexes": lambda: pandas(index=pd.MultiIndex.from_product([["x", "y"], [1, 2]], names=["k", None])),
    "an index out of order": lambda: pandas(index=[3, 1, 2, 0]),
    "rows of a larger one": lambda: pd.concat([pandas(), pandas()]).iloc[4:],
}


@pytest.mark.parametrize("form", PANDAS)
def test_pandas(form: str, client: BuenaClient, store: EnrichmentStore, sandbox: Sandbox) -> None:
    """Whatever the dtypes: missing is null, the index is left out, the other columns come back."""
    enriched = enrich_frame(PANDAS[form](), client=client, store=store)
    expected = enrich_frame(LEADS, client=client, store=store)
    assert enriched.columns == expected.columns
    assert enriched.select("Email", "Company").cast(pl.String).equals(LEADS.select("Email", "Company"))
    assert enriched["Deal"].fill_nan(None).to_list() == LEADS["Deal"].to_list()
    assert enriched["buena_person_id"].equals(expected["buena_person_id"])
    assert sandbox.credits_used == 2
    plan = plan_frame(PANDAS[form](), store=store)
    assert (plan.rows, plan.to_buy, plan.invalid) == (4, 0, 1)


def test_pandas_columns_that_have_nothing_to_do_with_it() -> None:
    """Dates, time zones, lists, dicts, intervals: they come back with the rows."""
    moments = pd.to_datetime(["2026-01-02", None, "2026-01-03", "2026-01-04"])
    frame = pandas().assign(
        at=moments,
        zoned=moments.tz_localize("Europe/Berlin"),
        took=pd.to_timedelta([1, None, 2, 3], unit="h"),
        listed=[["a"], None, [], ["b", "c"]],
        nested=[{"a": 1}, None, {"a": 2}, {"a": 3}],
        flag=pd.array([True, None, False, True], dtype="boolean"),
        month=pd.period_range("2026-01", periods=4, freq="M"),
        bucket=pd.cut([1, 2, 3, 4], [0, 2, 4]),
    )
    table = as_frame(frame)
    assert table.columns == list(frame.columns)
    assert table["listed"].to_list() == [["a"], None, [], ["b", "c"]]
    assert table["zoned"].dtype == pl.Datetime("us", "Europe/Berlin")
    assert table["flag"].to_list() == [True, None, False, True]
    assert table.height == 4


def batches() -> list[pa.RecordBatch]:
    """The leads as two batches of Arrow."""
    return LEADS.to_arrow().to_batches(max_chunksize=2)


ARROW: dict[str, Callable[[], Any]] = {
    "a table": LEADS.to_arrow,
    "a batch": lambda: LEADS.to_arrow().combine_chunks().to_batches()[0],
    "a reader": lambda: pa.RecordBatchReader.from_batches(batches()[0].schema, batches()),
    "dictionaries": lambda: LEADS.with_columns(pl.col(pl.String).cast(pl.Categorical)).to_arrow(),
    "plain strings": lambda: pa.table(LEADS.to_dict(as_series=False)),
    "views": lambda: LEADS.to_arrow(compat_level=pl.CompatLevel.newest()),
    "a scanner's reader": lambda: pa.dataset.dataset(LEADS.to_arrow()).scanner().to_reader(),
}


@pytest.mark.parametrize("form", ARROW)
def test_pyarrow(form: str, client: BuenaClient, store: EnrichmentStore) -> None:
    """Tables, batches and readers, however their text is kept."""
    enriched = enrich_frame(ARROW[form](), client=client, store=store)
    assert enriched.select(pl.col("Email", "Company").cast(pl.String), "Deal").equals(LEADS)
    assert enriched["buena_status"].to_list() == ["enriched", "invalid", "enriched", "enriched"]


def test_a_duckdb_relation(client: BuenaClient, store: EnrichmentStore, tmp_path: Path) -> None:
    """A query, a table, a file; its connection, and its types, stay its own."""
    LEADS.write_parquet(tmp_path / "leads.parquet")
    with duckdb.connect() as connection:
        connection.execute(f"create table leads as from '{tmp_path}/leads.parquet'")
        forms = [
            connection.sql("from leads"),
            connection.table("leads"),
            connection.read_parquet(f"{tmp_path}/leads.parquet"),
            connection.sql(
                "select *, uuid() id, sum(Deal) over () total, now() moment, [1] items from leads"
            ),
        ]
        for relation in forms:
            enriched = enrich_frame(relation, client=client, store=store)
            assert enriched.select(LEADS.columns).equals(LEADS)
            assert enriched["buena_person_id"].null_count() == 1
        assert connection.sql("select count(*) from leads").fetchall() == [(4,)]


SCANS: dict[str, Callable[[Path], pl.LazyFrame]] = {
    "parquet": lambda folder: (
        LEADS.write_parquet(folder / "a.parquet") or pl.scan_parquet(folder / "a.parquet")
    ),
    "many files": lambda folder: [  # type: ignore[dict-item]
        LEADS[:3].write_parquet(folder / "a.parquet"),
        LEADS[3:].write_parquet(folder / "b.parquet"),
        pl.scan_parquet(folder / "*.parquet"),
    ][-1],
    "csv": lambda folder: LEADS.write_csv(folder / "a.csv") or pl.scan_csv(folder / "a.csv"),  # type: ignore[func-returns-value]
    "ndjson": lambda folder: LEADS.write_ndjson(folder / "a.ndjson") or pl.scan_ndjson(folder / "a.ndjson"),
    "arrow": lambda folder: LEADS.write_ipc(folder / "a.arrow") or pl.scan_ipc(folder / "a.arrow"),
    "a dataset": lambda _: pl.scan_pyarrow_dataset(pa.dataset.dataset(LEADS.to_arrow())),
}


@pytest.mark.parametrize("form", SCANS)
def test_a_lazy_scan(
    form: str, client: BuenaClient, store: EnrichmentStore, sandbox: Sandbox, tmp_path: Path
) -> None:
    """It stays lazy, costs when it is collected, and can be sunk."""
    lazy = enrich_frame(SCANS[form](tmp_path), client=client, store=store)
    assert isinstance(lazy, pl.LazyFrame)
    assert sandbox.requests == 0
    assert lazy.select(LEADS.columns).collect().equals(LEADS)
    lazy.sink_parquet(tmp_path / "out.parquet")
    assert pl.read_parquet(tmp_path / "out.parquet")["buena_person_id"].null_count() == 1
    assert sandbox.credits_used == 2


def test_a_duckdb_relation_can_be_lazy(client: BuenaClient, store: EnrichmentStore) -> None:
    """For a query that is larger than memory."""
    with duckdb.connect() as connection:
        connection.register("given", LEADS.to_arrow())
        lazy = enrich_frame(connection.sql("from given").pl(lazy=True), client=client, store=store)
        assert lazy.collect().select(LEADS.columns).equals(LEADS)


# --- what cannot be read ---------------------------------------------------------------------------------


def closed_relation() -> duckdb.DuckDBPyRelation:
    """A relation whose connection is gone."""
    with duckdb.connect() as connection:
        return connection.sql("select 'a@x.example' as email")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (lambda: pandas().assign(note=["a", 1, None, 2.5]), r'column "note" holds values of several types.*'),
        (
            lambda: pandas().assign(x=[1j, 2, 3, 4]),
            'column "x" holds values of several types, or of one that Arrow',
        ),
        (lambda: pandas().assign(a=["a", 1, 2, 3], b=[1, "b", 2, 3]), 'each of the columns "a", "b" holds'),
        (
            lambda: pandas().set_axis(["Email", "Email", "Deal"], axis=1),
            'column "Email" is there more than once',
        ),
        (
            lambda: pa.table([["a"], ["b"]], names=["Email", "Email"]),
            'column "Email" is there more than once',
        ),
        (lambda: duckdb.sql("select 'a' as Email, 'b' as Email"), 'column "Email" is there more than once'),
        (
            lambda: duckdb.sql("select 'a' as Email, interval 1 day as age"),
            'column "age" is of a type that polars',
        ),
        (
            lambda: duckdb.sql("select 'a' as Email, {'x': [interval 1 day]} as n"),
            r'column "n".*cast\(\.\.\. as',
        ),
        (lambda: duckdb.sql("select union_value(a := 1) as u"), 'column "u" is of a type'),
        (
            lambda: duckdb.sql("select cast(x as int) y from (values ('jane@x.example')) t(x)"),
            "ConversionException",
        ),
        (closed_relation, r"ConnectionException\): read it by itself to see why"),
        (lambda: pandas()["Email"], r"not Series: .* Make it one with .to_frame\(\)"),
        (lambda: LEADS["Email"], r"not Series: .* Make it one with .to_frame\(\)"),
        (
            lambda: "leads.csv",
            r"not str: .* Read a file first, such as with buena_pipeline.read_table\(path\)",
        ),
        (lambda: Path("leads.csv"), "Path: .* Read a file first"),
        (lambda: LEADS.to_dict(as_series=False), r"not dict: .* Make it one with pl.DataFrame\(...\)"),
        (LEADS.to_dicts, r"not list: .* Make it one with pl.DataFrame\(...\)"),
        (lambda: None, "not NoneType: a polars DataFrame or LazyFrame, or anything with the Arrow PyCapsule"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_cure(
    table: Callable[[], Any], message: str, store: EnrichmentStore
) -> None:
    """The column by name, what to do, and none of its values; the error of the other library is not shown."""
    with pytest.raises(InputError, match=message) as caught:
        enrich_frame(table(), store=store)
    assert "jane" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_columns_may_be_called_like_what_is_asked_of_a_table() -> None:
    """Pandas and DuckDB have their columns as attributes."""
    names = ["types", "to_frame", "column_names", "columns_", "Email"]
    frame = pd.DataFrame({name: ["INTERVAL"] for name in names})
    assert as_frame(frame).columns == names
    with duckdb.connect() as connection:
        connection.register("given", pa.table({name: ["INTERVAL"] for name in names}))
        assert as_frame(connection.sql("from given")).columns == names


def test_a_process_that_read_a_relation_ends_in_silence() -> None:
    """DuckDB complains at the end if polars still holds one of its classes."""
    script = """
import duckdb
from buena_pipeline.tables import as_frame
print(as_frame(duckdb.connect().sql("select 'ada@acme.example' as email")).height)
"""
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert told.stdout.strip() == "1"
    assert not told.stderr


def test_the_cure_for_mixed_values_works(client: BuenaClient, store: EnrichmentStore) -> None:
    """As the message has it."""
    frame = pandas().assign(note=["a", 1, None, 2.5])
    frame["note"] = frame["note"].astype("string")
    assert enrich_frame(frame, client=client, store=store)["note"].to_list() == ["a", "1", None, "2.5"]


def damaged_parquet(path: Path, *, column: int) -> pl.LazyFrame:
    """A scan of a file whose footer is whole, but not the pages of a column."""
    rows = 30_000
    emails = pl.format("person{}@acme{}.example", pl.int_range(rows), pl.int_range(rows) % 7)
    frame = pl.select(Email=emails, Note=pl.format("note {}", pl.int_range(rows)))
    frame.write_parquet(path, compression="uncompressed", row_group_size=10_000)
    data = bytearray(path.read_bytes())
    place = pa.parquet.ParquetFile(path).metadata.row_group(1).column(column).data_page_offset
    data[place : place + 40] = b"\xff" * 40
    path.write_bytes(data)
    return pl.scan_parquet(path)


def test_a_scan_that_breaks_off_says_so_before_it_costs(
    client: BuenaClient, store: EnrichmentStore, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Damage in a column that says who the leads are: nothing is sent."""
    scan = damaged_parquet(tmp_path / "leads.parquet", column=0)
    for attempt in (
        lambda: plan_frame(scan, store=store),
        lambda: enrich_frame(scan, client=client, store=store).collect(),
        lambda: enrich_frame(scan, client=client, store=store).sink_parquet(tmp_path / "out.parquet"),
        lambda: Enricher(client, store).run(scan),
    ):
        with pytest.raises(
            InputError, match=r"cannot be read to its end \(ComputeError\): its file is damaged"
        ):
            attempt()
    assert sandbox.requests == 0


def test_a_scan_that_breaks_off_later_keeps_what_was_bought(
    client: BuenaClient, store: EnrichmentStore, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Damage in another column comes to light with the rows: the message says where the answers are."""
    scan = damaged_parquet(tmp_path / "leads.parquet", column=1)
    lazy = enrich_frame(scan, client=client, store=store, max_credits=20)
    with pytest.raises(InputError, match="What was bought is in the store"):
        lazy.collect()
    assert sandbox.credits_used == 20
    assert store.sql("from leads").height == 20


def test_a_damaged_file_at_the_command_line(tmp_path: Path) -> None:
    """One line, the exit code for files, and no traceback."""
    damaged_parquet(tmp_path / "leads.parquet", column=0)
    told = subprocess.run(
        [sys.executable, "-m", "buena_pipeline.cli", "plan", str(tmp_path / "leads.parquet")],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert told.returncode == 2
    assert told.stderr.startswith("error: The table cannot be read to its end")
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize("lazy", [False, True])
def test_a_list_column_of_addresses(sandbox: Sandbox, store: EnrichmentStore, lazy: bool) -> None:
    """All addresses of a row are one person's, and the list comes back as it was."""
    lists = [
        ["Jane@acme.example", None, "jd@home.example"],
        ["JD@home.example"],
        [],
        None,
        ["bo@acme.example"],
    ]
    table = pl.DataFrame({"mails": lists}, schema={"mails": pl.List(pl.String)})
    given: Any = table.lazy() if lazy else table
    with BuenaClient(sandbox.api_key, sandbox.url) as client:
        enriched = enrich_frame(given, client=client, store=store).lazy().collect()
    assert sandbox.credits_used == 2
    assert enriched["mails"].equals(table["mails"])
    statuses = ["enriched", "enriched", "invalid", "invalid", "enriched"]
    assert enriched["buena_status"].cast(pl.String).to_list() == statuses
