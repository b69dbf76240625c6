"""Tables from files and to files: every format, whole or not at all."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import xlsxwriter

from buena_pipeline.errors import ColumnError, FileFormatError, MissingExtraError
from buena_pipeline.files import check_output, read_table, sheets, write_table
from buena_pipeline.files.plain import json_ready, plain_columns, with_lists
from buena_pipeline.schema import ENRICHED, SOCIAL_PROFILE
from tests.torture.disks import file_limit

ENDINGS = (".csv", ".tsv", ".parquet", ".ndjson", ".jsonl", ".json", ".xlsx")

TABLE = pl.DataFrame(
    {
        "Email": ["ada@acme.example", None, "=1+1"],
        "Phone": ["007", "+49 1", "https://acme.example/?a=b"],
        "skills": [["SQL", "Python"], [], None],
        "profiles": pl.Series(
            [[{"network": "x", "url": "https://x.example/ada"}], [], None], dtype=pl.List(SOCIAL_PROFILE)
        ),
        "at": pl.Series(
            [datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), None, None], dtype=pl.Datetime("us", "UTC")
        ),
        "day": [date(2026, 1, 2), None, None],
        "status": pl.Series(["enriched", "failed", "invalid"], dtype=ENRICHED["status"]),
        "count": [1, 2, None],
        "share": [0.5, None, 1.0],
        "nothing": [None, None, None],
    }
)

TEXTS = {
    "Email": ["ada@acme.example", None, "=1+1"],
    "Phone": ["007", "+49 1", "https://acme.example/?a=b"],
    "skills": ["SQL; Python", None, None],
    "profiles": ["x=https://x.example/ada", None, None],
    "at": ["2026-01-02T03:04:05Z", None, None],
    "day": ["2026-01-02", None, None],
    "status": ["enriched", "failed", "invalid"],
    "count": ["1", "2", None],
    "share": ["0.5", None, "1.0"],
    "nothing": [None, None, None],
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_table_comes_back(tmp_path: Path, ending: str) -> None:
    """Every format gives back the same rows, columns and values, lists as text where it has no lists."""
    path = tmp_path / f"table{ending}"
    check_output(path, TABLE)
    assert not list(tmp_path.iterdir())
    write_table(TABLE, path)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    found = read_table(path)
    assert found.columns == TABLE.columns
    if ending == ".parquet":
        assert found.equals(TABLE)
    elif ending in {".csv", ".tsv", ".xlsx"}:
        text = found.with_columns(pl.all().cast(pl.String)).with_columns(pl.all().replace({"": None}))
        assert text.to_dict(as_series=False) == TEXTS
    else:
        same = ["Email", "Phone", "skills", "profiles", "count", "share"]
        assert found.select(same).to_dict(as_series=False) == TABLE.select(same).to_dict(as_series=False)
        assert found["at"][0].startswith("2026-01-02T03:04:05")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_table_without_rows_is_written(tmp_path: Path, ending: str) -> None:
    """No leads are no error; the columns are there where the format has columns without rows."""
    path = tmp_path / f"table{ending}"
    write_table(pl.DataFrame(schema={"Email": pl.String, "skills": pl.List(pl.String)}), path)
    if ending in {".csv", ".tsv", ".parquet"}:
        assert read_table(path).columns == ["Email", "skills"]


def test_csv_changes_nothing_on_the_way_through(tmp_path: Path) -> None:
    """Reading a CSV and writing it again gives the same bytes."""
    text = 'id,n,text\n007,1.50,"a, ""b"""\n,TRUE,2024-1-1\n'
    (tmp_path / "in.csv").write_bytes(text.encode())
    write_table(read_table(tmp_path / "in.csv"), tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == text.encode()


# --- reading ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("missing.csv", None, "missing.csv does not exist"),
        ("leads.doc", b"x", "leads.doc: no known ending. Known are .csv, .tsv, .parquet"),
        ("leads", b"x", "no known ending"),
        ("empty.parquet", b"", "empty.parquet is empty"),
        ("empty.csv", b"", "empty.csv is empty"),
        ("broken.parquet", b"PAR1 or so", "broken.parquet cannot be read"),
        ("broken.xlsx", b"no sheet", "broken.xlsx cannot be read"),
        ("broken.json", b'[{"a": 1},\n{"a": }]', "broken.json, line 2: this is not JSON (Expecting value)"),
        (
            "lines.json",
            b'{"a": 1}\n{"a": 2}\n',
            "line 2: this is not JSON (Extra data). One object",
        ),
        ("latin.json", b'[{"a": 1},\n{"a": "\xfc"}]', "latin.json, line 2: the text is not in UTF-8"),
        ("number.json", b"7", "number.json holds no table. Needed is a list of objects"),
        ("protected.xlsx", b"\xd0\xcf\x11\xe0", "it is no .xlsx workbook, or one with a password"),
        ("half.xlsx", b"PK\x03\x04", "the workbook is damaged or not whole"),
        (
            "mixed.json",
            b'[{"a": "x"}, {"a": {"b": "secret"}}]',
            "mixed.json cannot be read as a table: a field is plain",
        ),
        (
            "mixed.ndjson",
            b'{"a": 7, "b": "NaN, 1e400"}\n{"a": [7]}',
            "mixed.ndjson cannot be read as a table: a field is plain",
        ),
        ("nan.json", b'[{"a": "NaN"},\n{"a": NaN}]', "nan.json, line 2: NaN is not JSON. Write null"),
        ("nan.ndjson", b'{"a": "\\"NaN"}\n\n{"a": [1, -Infinity]}\n', "line 3: -Infinity is not JSON. Write"),
        ("big.json", b'[{"a": 1e308},\n\n{"a": 1e400}]', "big.json, line 3: a number is too large"),
        ("big.ndjson", b'{"a": -1}\n{"a": -1E+400}', "big.ndjson, line 2: a number is too large"),
        ("long.json", b'[{"a": ' + b"7" * 5000 + b"}]", "long.json, line 1: a number is too large"),
        ("long.jsonl", b'{"a": ' + b"7" * 5000 + b"}", "long.jsonl, line 1: a number is too large"),
        ("blank.ndjson", b" \n\t\n", "blank.ndjson is empty: it has blank lines only"),
        ("none.json", b"[]", "none.json"),
        ("broken.ndjson", b'{"a": 1}\n\n{"a": 2', "broken.ndjson, line 3: this is not a JSON object"),
        ("list.jsonl", b'{"a": 1}\n[1]\n', "list.jsonl, line 2: this is not a JSON object"),
        ("ragged.csv", b"a,b\n1\n", "ragged.csv, line 2: a record of 1"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, name: str, data: bytes | None, message: str) -> None:
    """A file that is missing, of an unknown kind or broken is told by name, and the line if there is one."""
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(FileFormatError) as caught:
        read_table(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    """A folder is told apart from a missing file."""
    (tmp_path / "leads.csv").mkdir()
    with pytest.raises(FileFormatError, match="is a folder"):
        read_table(tmp_path / "leads.csv")


def test_json_types_are_found_in_every_line(tmp_path: Path) -> None:
    """A value of another type far down is not lost and not an error."""
    path = tmp_path / "leads.ndjson"
    path.write_text('{"phone": 7}\n' * 500 + '{"phone": "+49", "late": true}\n')
    assert read_table(path)["phone"].to_list()[-2:] == ["7", "+49"]


def test_sheets_of_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Empty rows and columns stay, a text far down in a column of numbers too, and nothing is logged."""
    path = tmp_path / "leads.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["Email", "Phone", "", "Email"])
        sheet.write_column(1, 1, [7] * 200)
        sheet.write_row(203, 0, ["ada@acme.example", "+49"])
        book.add_worksheet("another")
    frame = read_table(path)
    assert frame.shape == (203, 4)
    assert frame[0, "Phone"] == "7"
    assert frame[199:202]["Phone"].to_list() == ["7", None, None]
    assert frame.row(202)[:2] == ("ada@acme.example", "+49")
    assert not caplog.records


def test_sheets_with_numbers_too_large(tmp_path: Path) -> None:
    """Whole numbers of 20 digits, as of a card or of two phones in one cell, are text; others are as ever."""
    path = tmp_path / "leads.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["Card", "Card", "", "n", "share", "Flag", "day"])
        sheet.write_row(1, 0, [12e18, 1, -2e19, 7, 1e19, True, date(2026, 1, 2)])
        sheet.write_row(2, 0, [4917112345678, 2, None, 8, 0.5, False])
    frame = read_table(path)
    assert frame["Card"].to_list() == ["12000000000000000000", "4917112345678"]
    assert frame["column_3"].to_list() == ["-20000000000000000000", None]
    assert frame["Card_1", "n"].rows() == [(1, 7), (2, 8)]
    assert frame["share", "Flag"].rows() == [(1e19, True), (0.5, False)]


def test_sheets_with_lengths_of_time(tmp_path: Path) -> None:
    """Cells that have no type in common are text, and no value is lost."""
    path = tmp_path / "leads.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet()
        sheet.write_column(0, 0, ["Email", "ada@acme.example", "bo@acme.example"])
        sheet.write_row(0, 1, ["took"])
        sheet.write_datetime(1, 1, timedelta(hours=30), book.add_format({"num_format": "[h]:mm"}))
        sheet.write_string(2, 1, "long")
    frame = read_table(path)
    assert frame["Email"].to_list() == ["ada@acme.example", "bo@acme.example"]
    assert frame["took"].null_count() == 0
    assert frame["took"][1] == "long"


@pytest.mark.parametrize(
    "rows", [["Notes:", "", "Email"], ["notes: ", "So it is.", "", "Email", "ada@acme.example"]]
)
def test_linkedin_notes_in_a_sheet(tmp_path: Path, rows: list[str]) -> None:
    """As in delimited text: the header is below the empty row."""
    path = tmp_path / "leads.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet()
        sheet.write_column(0, 0, rows)
        sheet.write(rows.index("Email"), 1, "URL")
    frame = read_table(path)
    assert frame.columns == ["Email", "URL"]
    assert frame.height == len(rows) - rows.index("Email") - 1


@pytest.mark.parametrize("chart", [False, True])
def test_an_empty_first_sheet(tmp_path: Path, caplog: pytest.LogCaptureFixture, *, chart: bool) -> None:
    """The message says which sheet is read; nothing else is said."""
    path = tmp_path / "leads.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        first = book.add_chartsheet() if chart else book.add_worksheet()
        second = book.add_worksheet("leads")
        second.write(0, 0, "Email")
        if chart:
            bars = book.add_chart({"type": "bar"})
            bars.add_series({"values": "=leads!$A$1:$A$2"})
            first.set_chart(bars)
    with pytest.raises(FileFormatError, match=r"leads.xlsx is empty: nothing is on its first sheet"):
        read_table(path)
    assert not caplog.records


def test_names_of_columns_are_the_same_in_every_format(tmp_path: Path) -> None:
    """A header that repeats is numbered, an empty one is named after its place."""
    (tmp_path / "a.csv").write_text("Email,,Email\n1,2,3\n")
    with xlsxwriter.Workbook(str(tmp_path / "a.xlsx")) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["Email", None, "Email"])
        sheet.write_row(1, 0, ["1", "2", "3"])
    assert read_table(tmp_path / "a.xlsx").equals(read_table(tmp_path / "a.csv"))
    assert read_table(tmp_path / "a.csv").columns == ["Email", "column_2", "Email_1"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_with_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    """As programs of Windows write it."""
    row = '{"Email": "zoë@acme.example"}'
    (tmp_path / "a.json").write_text(f"[{row}]", encoding=encoding)
    (tmp_path / "a.jsonl").write_text(f"{row}\r\n\r\n{row}", encoding=encoding, newline="")
    assert read_table(tmp_path / "a.json")["Email"].to_list() == ["zoë@acme.example"]
    assert read_table(tmp_path / "a.jsonl")["Email"].to_list() == ["zoë@acme.example"] * 2


def test_no_value_is_told(tmp_path: Path) -> None:
    """What polars says of a column is kept, what it quotes from its cells is not."""
    leads = pl.LazyFrame({"Email": ["jane@acme.example"]})
    number = leads.select(pl.col("Email").cast(pl.Int64))
    own = leads.select(pl.col("Email").map_batches(lambda cells: int(cells[0]), return_dtype=pl.Int64))
    for query, told in (
        (number, "conversion from `str` to `i64` failed in column 'Email'."),
        (leads.select("Phone"), 'unable to find column "Phone"; valid columns: ["Email"].'),
        (own, "ValueError."),
    ):
        for ending in ENDINGS:
            path = tmp_path / f"out{ending}"
            with pytest.raises(FileFormatError) as caught:
                write_table(query, path)
            assert str(caught.value) == f"{path} cannot be written: {told}"


# --- writing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["out.csv", "out.parquet", "out.ndjson", "out.json"])
@pytest.mark.parametrize("lazy", [False, True])
def test_a_failed_write_leaves_the_old_file(tmp_path: Path, name: str, *, lazy: bool) -> None:
    """Half a file is never seen: the old one stays as it was, and nothing is left beside it."""
    path = tmp_path / name
    path.write_text("old")
    table = pl.DataFrame({"text": [str(number) * 10 for number in range(100_000)]})
    with (
        file_limit(40_000),
        pytest.raises(FileFormatError, match=rf"{name} cannot be written: .*File too large"),
    ):
        write_table(table.lazy() if lazy else table, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")
def test_the_old_file_keeps_permissions_and_links(tmp_path: Path) -> None:
    """A file for few eyes stays so, and a link goes on pointing to the file that was replaced."""
    real, link = tmp_path / "real.csv", tmp_path / "link.csv"
    real.write_text("old")
    real.chmod(0o600)
    link.symlink_to(real)
    write_table(TABLE, link)
    assert link.is_symlink()
    assert real.read_text().startswith("Email,")
    assert stat.S_IMODE(real.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("out.doc", "no known ending"),
        ("out", "no known ending"),
        ("missing/out.csv", "the folder .*missing does not exist"),
        ("folder.csv", "is a folder"),
    ],
)
def test_outputs_that_cannot_be(tmp_path: Path, name: str, message: str) -> None:
    """What cannot be written is found out beforehand, and nothing is left behind."""
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(FileFormatError, match=message):
        check_output(tmp_path / name, TABLE)
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder.csv"]


@pytest.mark.skipif(os.name != "posix", reason="needs a file that is no regular one")
def test_a_pipe_is_no_output(tmp_path: Path) -> None:
    """What is not a regular file could not be replaced whole."""
    os.mkfifo(tmp_path / "out.csv")
    with pytest.raises(FileFormatError, match="not a regular file"):
        check_output(tmp_path / "out.csv", TABLE)


def test_sheets_have_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a sheet would cut off in silence is refused, before it costs and when it is written."""
    path = tmp_path / "out.xlsx"
    long = pl.DataFrame({"bio": ["x" * 32_768]})
    with pytest.raises(FileFormatError, match='Column "bio" has a text of more than 32,767 characters'):
        check_output(path, long)
    with pytest.raises(FileFormatError, match="32,767"):
        write_table(long, path)
    monkeypatch.setattr(sheets, "_ROWS", 2)
    with pytest.raises(FileFormatError, match="3 rows"):
        check_output(path, TABLE)
    check_output(tmp_path / "out.csv", TABLE)
    assert not list(tmp_path.iterdir())


def test_sheets_keep_long_numbers(tmp_path: Path) -> None:
    """A number that a sheet would round is written as text; NaN, which it does not have, as nothing."""
    path = tmp_path / "out.xlsx"
    write_table(pl.DataFrame({"id": [12_345_678_901_234_567, 1], "x": [float("nan"), 2.5]}), path)
    frame = read_table(path)
    assert frame["id"].to_list() == ["12345678901234567", "1"]
    assert frame["x"].to_list() == [None, 2.5]


@pytest.mark.parametrize(
    ("dtype", "numbers", "texts"),
    [
        (pl.Decimal(38, 0), [1234567890123456789, 7], ["1234567890123456789", "7"]),
        (pl.Decimal(38, 0), [12345678901234567890, None, 0], ["12345678901234567890", None, "0"]),
        (pl.Int128, [-12345678901234567890], ["-12345678901234567890"]),
        (pl.Decimal(38, 2), ["12345678901234.56", "0.10"], ["12345678901234.56", "0.10"]),
        (pl.Decimal(38, 20), ["0.1234567890123456"], ["0.12345678901234560000"]),
    ],
)
def test_sheets_round_no_exact_number(
    tmp_path: Path, dtype: pl.DataType, numbers: list[object], texts: list[str | None]
) -> None:
    """As DuckDB sums them up: what has more digits than a cell is text."""
    path = tmp_path / "out.xlsx"
    write_table(pl.DataFrame({"sum": numbers}, schema={"sum": dtype}, strict=False), path)
    assert read_table(path)["sum"].to_list() == texts


def test_sheets_have_numbers_where_they_are_exact(tmp_path: Path) -> None:
    """Decimals stay numbers, whatever their dtype has room for."""
    path = tmp_path / "out.xlsx"
    prices = pl.Series("price", ["1234567890123.25", None, "-0.5"], dtype=pl.Decimal(38, 10))
    write_table(prices.to_frame(), path)
    assert read_table(path)["price"].to_list() == [1234567890123.25, None, -0.5]


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the packages for sheets the message says what to install."""

    def absent(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("no fastexcel")

    (tmp_path / "in.xlsx").write_bytes(b"x")
    monkeypatch.setattr(pl, "read_excel", absent)
    with pytest.raises(MissingExtraError, match=r"buena-pipeline\[cli\]"):
        read_table(tmp_path / "in.xlsx")


# --- values that not every format has --------------------------------------------------------------------


def test_plain_columns() -> None:
    """Nested values, moments and bytes as text; nothing becomes a text where there is nothing."""
    frame = pl.DataFrame(
        {
            "struct": [{"a": 1}, None],
            "structs": [[{"a": 1}, {"a": 2}], None],
            "numbers": [[1, None, 2], None],
            "deep": [[[1], [2, 3]], None],
            "fixed": pl.Series([[1, 2], None], dtype=pl.Array(pl.Int8, 2)),
            "bytes": [b"\x00\xff", None],
            "local": [datetime(2026, 1, 2, 3, 4, 5, 120_000, tzinfo=UTC).replace(tzinfo=None), None],
            "zoned": pl.Series(
                [datetime(2026, 1, 2, 3, tzinfo=UTC), None], dtype=pl.Datetime("us", "UTC")
            ).dt.convert_time_zone("Europe/Berlin"),
            "took": [timedelta(hours=36), None],
        }
    )
    plain = frame.select(plain_columns(frame.schema))
    assert plain.row(0) == (
        '{"a":1}',
        '{"a":1}; {"a":2}',
        "1; 2",
        "1; 2; 3",
        "1; 2",
        "AP8=",
        "2026-01-02T03:04:05.120",
        "2026-01-02T03:00:00Z",
        "P1DT12H",
    )
    assert plain.row(1) == (None,) * frame.width
    assert set(frame.clear().select(plain_columns(frame.schema)).dtypes) == {pl.String}


NESTED = pl.DataFrame(
    {
        "blobs": [[b"\xff", None], None],
        "struct": [{"raw": b"\xff", "deep": [{"raw": b"", "n": 1}]}, None],
        "map": [{"a": 1, "b": None}, None],
        "bytes_of": [{"a": b"\xff"}, None],
        "by_number": [{7: "x"}, None],
        "sums": [[10**20], None],
    },
    schema={
        "blobs": pl.Array(pl.Binary, 2),
        "struct": pl.Struct({"raw": pl.Binary, "deep": pl.List(pl.Struct({"raw": pl.Binary, "n": pl.Int8}))}),
        "map": pl.Map(pl.String, pl.Int64),
        "bytes_of": pl.Map(pl.String, pl.Binary),
        "by_number": pl.Map(pl.Int64, pl.String),
        "sums": pl.List(pl.Decimal(38, 0)),
    },
)


def test_what_is_nested_is_json() -> None:
    """Bytes are Base64 however deep they are, and a map is an object where its keys are text."""
    row = {
        "blobs": ["/w==", None],
        "struct": {"raw": "/w==", "deep": [{"raw": "", "n": 1}]},
        "map": {"a": 1, "b": None},
        "bytes_of": [{"key": "a", "value": "/w=="}],
        "by_number": [{"key": 7, "value": "x"}],
        "sums": [10**20],
    }
    ready = json_ready(NESTED.lazy())
    assert json.loads(ready.collect().write_json()) == [row, dict.fromkeys(row)]
    assert json.loads(ready.collect().write_ndjson().splitlines()[0]) == row
    plain = NESTED.select(plain_columns(NESTED.schema))
    lists = {"blobs": "/w==", "sums": "100000000000000000000"}
    assert plain.columns == NESTED.columns
    assert plain.row(0, named=True) == {
        name: lists.get(name) or json.dumps(value, separators=(",", ":")) for name, value in row.items()
    }
    assert plain.row(1) == (None,) * plain.width


@pytest.mark.parametrize("ending", [".csv", ".json", ".ndjson", ".xlsx"])
def test_nested_values_are_written(tmp_path: Path, ending: str) -> None:
    """To every format that is text."""
    write_table(NESTED, tmp_path / f"out{ending}")
    assert read_table(tmp_path / f"out{ending}").columns == NESTED.columns


@pytest.mark.parametrize("ending", [".csv", ".json", ".ndjson", ".xlsx"])
def test_types_that_are_no_text(tmp_path: Path, ending: str) -> None:
    """Bytes that only one program reads are refused by the name of the column, before anything is written."""
    odd = pl.Extension("geoarrow.wkb", pl.Binary, "{}")
    place = pl.Series("place", [b"x"]).ext.to(odd)
    for column in (place, place.to_frame().to_struct("place"), pl.Series("place", [object()], pl.Object)):
        path = tmp_path / f"out{ending}"
        with pytest.raises(ColumnError, match='Column "place" is of a type that is neither') as caught:
            check_output(path, column.to_frame())
        assert caught.value.columns == ("place",)
        with pytest.raises(ColumnError, match="x::varchar"):
            write_table(column.to_frame(), path)
    assert not list(tmp_path.iterdir())


def test_a_panic_of_polars_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Which is no Exception; the file that was there stays."""
    path = tmp_path / "out.csv"
    path.write_text("old")
    infinite = pl.Series("at", [2**63 - 1]).cast(pl.Datetime("us"))
    with pytest.raises(FileFormatError, match=r"cannot be written: PanicException\. .*infinite dates"):
        write_table(infinite.to_frame(), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_lists_come_back_from_text() -> None:
    """What was joined for a CSV is split again; missing columns and lists are left alone."""
    frame = pl.DataFrame({"a": ["SQL; Python", None], "b": [["x"], ["y"]]})
    back = with_lists(frame, "a", "b", "c")
    assert back.to_dict(as_series=False) == {"a": [["SQL", "Python"], None], "b": [["x"], ["y"]]}


def test_json_has_numbers_and_base64() -> None:
    """Sums of DuckDB are numbers, bytes are Base64, exact decimals stay exact."""
    schema = {"sum": pl.Decimal(38, 0), "price": pl.Decimal(9, 2), "raw": pl.Binary}
    frame = pl.DataFrame({"sum": [10**20], "price": ["1.10"], "raw": [b"\xff"]}, schema=schema, strict=False)
    assert json.loads(json_ready(frame).write_json()) == [{"sum": 10**20, "price": "1.10", "raw": "/w=="}]
