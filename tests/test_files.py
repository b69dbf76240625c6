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

from buena_pipeline.errors import FileFormatError, MissingExtraError
from buena_pipeline.files import check_output, read_table, write_table
from buena_pipeline.files import formats as files
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
        ("broken.json", b"{", "broken.json, line 1: this is not JSON"),
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
    monkeypatch.setattr(files, "_SHEET_ROWS", 2)
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
