"""Delimited text: encodings, delimiters, preambles, and what is refused."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buena_pipeline.errors import FileFormatError
from buena_pipeline.files import delimited
from buena_pipeline.files.delimited import DELIMITERS, parse_delimited

DATA = Path(__file__).parent / "data"

cells = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=("Cs",)), max_size=8
)


def parse(text: str | bytes) -> pl.DataFrame:
    """The table of a text in UTF-8, or of bytes."""
    return parse_delimited(text.encode() if isinstance(text, str) else text, name="leads.csv")


def written(rows: list[list[str]], delimiter: str, line_end: str) -> str:
    """The rows as Python's own writer puts them."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=csv.QUOTE_ALL).writerows(rows)
    return text.getvalue()


@given(
    rows=st.integers(1, 4).flatmap(
        lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), max_size=5)
    ),
    delimiter=st.sampled_from(DELIMITERS),
    line_end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_every_text_comes_back(rows: list[list[str]], delimiter: str, line_end: str, encoding: str) -> None:
    """Whatever stands in the cells, in any dialect, is read as it was written."""
    header = [f"h{index}" for index in range(len(rows[0]) if rows else 2)]
    data = written([header, *rows], delimiter, line_end).encode(encoding)
    frame = parse(data)
    if len(header) > 1:  # with one column nothing names the delimiter, and nothing needs it
        assert frame.columns == header
        assert frame.fill_null("").rows() == [tuple(row) for row in rows]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a;b,c\n1;2\n", {"a": ["1"], "b,c": ["2"]}),
        ('"a,x";b\n1;2\n', {"a,x": ["1"], "b": ["2"]}),
        ("sep=;\r\na;b\r\n1;2\r\n", {"a": ["1"], "b": ["2"]}),
        ("sep=|\na,b|c\n1|2\n", {"a,b": ["1"], "c": ["2"]}),
        ("a,b\r1,2\r3,4\r", {"a": ["1", "3"], "b": ["2", "4"]}),
        ("\n\na,b\n1,2\n\n\n", {"a": ["1"], "b": ["2"]}),
        ("a,b\n1,2\n\n3,4", {"a": ["1", None, "3"], "b": ["2", None, "4"]}),
        ("a,b\r\n1,2\r\n\r\n3,4", {"a": ["1", None, "3"], "b": ["2", None, "4"]}),
        ("a,b\n", {"a": [], "b": []}),
        ("a\n1\n", {"a": ["1"]}),
        ("a,b\n007,+49 1\n", {"a": ["007"], "b": ["+49 1"]}),
        ("a,b\n true ,1e5\n", {"a": [" true "], "b": ["1e5"]}),
        ('"a\nb",c\n"x\ny",2\n', {"a\nb": ["x\ny"], "c": ["2"]}),
    ],
)
def test_dialects(text: str, expected: dict[str, list[str | None]]) -> None:
    """Delimiters are found outside quotes, blank lines around the table go, and text stays text."""
    assert parse(text).to_dict(as_series=False) == expected


@pytest.mark.parametrize(
    "text", ["Größe;Preis\nklein;5 €\n", "a;b\nCAFÉ»;é\n", "a;b\nÄÖÜ;äöüß\n", "a;b\nnaïve;Ã¼ é ü\n"]
)
def test_windows_text(text: str) -> None:
    """What is not UTF-8 is read as Windows-1252, as Excel saves it, also where two letters would be one."""
    (row,) = csv.reader(text.splitlines()[1:], delimiter=";")
    assert parse(text.encode("cp1252")).rows() == [tuple(row)]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_linkedin_notes_are_skipped(line_end: str) -> None:
    """The notes above LinkedIn's export are no part of the table, and lines are counted as in the file."""
    notes = ["Notes:", '"When exporting your data, you may', 'see fewer addresses, and so on."', ""]
    text = line_end.join([*notes, "First Name,Last Name,URL", "Ada,Lovelace,x", ""])
    assert parse(text).columns == ["First Name", "Last Name", "URL"]
    with pytest.raises(FileFormatError, match="line 7: a record of 1 instead of 3"):
        parse(f"{text}Ada{line_end}")


LINKEDIN = ["Notes:", '"When you export, some may be missing, or\n\nso."', "", "First Name,URL", "Ada,x", ""]


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(LINKEDIN),
        "\ufeff" + "\r\n".join(LINKEDIN),
        "\n".join(["NOTES:,", *(f"{line}," for line in LINKEDIN[1:3]), *LINKEDIN[3:]]),
        "\n".join(['"Notes:";', *(f"{line};" for line in LINKEDIN[1:3]), "First Name;URL", "Ada;x", ""]),
        "\n".join([*LINKEDIN[:2], " \t", *LINKEDIN[3:]]),
    ],
)
def test_linkedin_notes_after_a_spreadsheet(text: str) -> None:
    """Which fills their lines with delimiters; a blank line inside the notes is one of them."""
    assert parse(text).to_dict(as_series=False) == {"First Name": ["Ada"], "URL": ["x"]}


@pytest.mark.parametrize("text", ["Notes:,Email\nx,a@x.com\n", "Notes\n\nx\n", "Notes:\nx\ny\n"])
def test_a_column_of_notes_is_a_column(text: str) -> None:
    """Only a line that says so and nothing else, with a blank line to come, begins LinkedIn's notes."""
    assert parse(text).columns[0].startswith("Notes")


def test_every_name_is_there_once() -> None:
    """A header that repeats is numbered, an empty one is named after its place; no column is lost."""
    frame = parse("Email,Email,,Email_1, \n1,2,3,4,5\n")
    assert frame.columns == ["Email", "Email_1", "column_3", "Email_1_1", "column_5"]
    assert frame.rows() == [("1", "2", "3", "4", "5")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "leads.csv is empty"),
        ("\n\r\n", "leads.csv is empty"),
        ("a,b\n1,2\n3\n", "line 3: a record of 1 instead of 2 fields"),
        ("a,b\n1,2,3\n", "line 2: a record of 3 instead of 2 fields"),
        ('a,b\n"x\ny",2\n3\n', "line 4: a record of 1"),
        ('a,b\n1,"2\n', "line 2: .* not closed"),
        ('a,b\n1,2\n3,"4\n5,6\n7,8\n', "line 3: .* not closed"),
        ('Notes:\n\na,b\n1,2\n3,"4" x\n', "line 5: .* is not doubled"),
        (
            "a;b\nZoë;1\nJosé;2\n".encode() + b"M\xfcller;3\n",
            "line 4: a character is damaged, or not in UTF-8",
        ),
        ("a;b\nZoë;1\nJosé;2\nMü".encode()[:-1], "line 4: a character is damaged"),
        ("a,b\n1,2\n".encode("utf-16-le"), "UTF-16 without a byte order mark"),
        ("a,b\n1,2\n".encode("utf-32"), "the header line holds zero bytes"),
        (b"PK\x03\x04...", "is no delimited text. It is a workbook or an archive: name it .xlsx"),
        (b"\x1f\x8b\x08...", "is no delimited text. It is compressed"),
        (b"PAR1...", "is no delimited text. It is Parquet"),
        (b"\xd0\xcf\x11\xe0...", "is no delimited text. It is an old workbook: save it as .xlsx"),
        ('"a,b\n1,2\n', "mark in the header line is not closed"),
        (b"a,b\n1,2\n\x81\x8d,\xff\n", "line 3: the text is not in UTF-8"),
        (b"\xff\xfea\x00\xd8", "line 1: the text is not in UTF-8"),
    ],
)
def test_broken_text_is_refused(text: str | bytes, message: str) -> None:
    """Nothing is guessed where cells may have shifted; the message names file and line."""
    with pytest.raises(FileFormatError, match=f"leads.csv.*{message}|{message}"):
        parse(text)


def test_stray_quotation_marks_are_text() -> None:
    """A mark in the middle of a field is a character, as spreadsheets read it."""
    frame = parse('size,n\n5" pipe,1\n"12"" pipe",2\nplain,3\n')
    assert frame.rows() == [('5" pipe', "1"), ('12" pipe', "2"), ("plain", "3")]


def test_fields_of_any_length() -> None:
    """Python's reader refuses those of 131,073 characters; its limit is as before, also after an error."""
    long, limit = "x" * 140_000, csv.field_size_limit()
    assert parse(f'bio,n\n"{long}",1\n5" pipe,2\n')["bio"].to_list() == [long, '5" pipe']
    assert parse(f"{long},n\n1,2\n").columns == [long, "n"]
    with pytest.raises(FileFormatError, match=r"line 2: a record of 1 instead of 2"):
        parse(f'bio,n\n"{long}"\n5" pipe,2\n')
    with pytest.raises(FileFormatError, match=r"line 3: .* not closed"):
        parse('a,b\n1,2\n3,"4\n' + "5,6\n" * 50_000)
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize("stray", ["", '5" pipe,7\n'])
def test_an_empty_field_in_quotes_is_null_as_well(stray: str) -> None:
    """Wherever else a mark stands that makes the records be gone through one by one."""
    frame = parse(f'Email,N\n"",1\na,""\n" ",""""\n{stray}')
    assert frame.head(3).rows() == [(None, "1"), ("a", None), (" ", '"')]
    assert parse(f'Email\n""\na\n{stray[:7]}')["Email"].head(2).to_list() == [None, "a"]


@pytest.mark.parametrize("block", [1, 2, 3, 7])
def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """Quotes, records and blank lines may lie across the blocks in which a file is looked at."""
    monkeypatch.setattr(delimited, "_BLOCK", block)
    text = 'né,b\r\n"x,\r\ny",1\r\n\r\n"","""q"""\r\nz,\r\n'
    assert parse(text).rows() == [("x,\r\ny", "1"), (None, None), (None, '"q"'), ("z", None)]
    with pytest.raises(FileFormatError, match="line 7: a record of 3"):
        parse(f"{text}1,2,3\r\n")


def test_files_of_others() -> None:
    """Real exports are read whole: every row, every column, nothing but text."""
    for path in sorted(DATA.glob("*.csv")):
        frame = parse_delimited(path.read_bytes(), name=path.name)
        assert frame.height == 1000
        assert set(frame.dtypes) == {pl.String}


def test_headers_of_many_programs() -> None:
    """The header of every export we know is split as its author meant it: no delimiter is left in a name."""
    paths = sorted(DATA.glob("headers/*.csv"))
    assert paths
    for path in paths:
        columns = parse_delimited(path.read_bytes(), name=path.name).columns
        assert len(columns) > 1
        assert not any("\t" in name or ";" in name for name in columns), path.name
