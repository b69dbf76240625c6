"""Delimited text as people export it: bytes in, a table of text out, nothing in its cells changed.

What programs do differently is found out here: encoding, delimiter, preamble, line ends. What is broken is
refused with the line it is on, because a shifted cell would buy the wrong person.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from buena_pipeline.errors import FileFormatError

DELIMITERS: Final = (",", ";", "\t", "|")

NOTES: Final = "notes:"
"""What stands alone, but for the case, on the first line of LinkedIn's exports."""

_Places = npt.NDArray[np.intp]

_BLOCK: Final = 1 << 24
_QUOTE, _NEWLINE, _RETURN = b'"\n\r'
_LONGEST_NOTES: Final = 20  # lines
_LIMIT: Final = threading.Lock()
_MAX_LONG: Final = 2**31 - 1  # of C, where it is shortest
_OTHER_FORMATS: Final = {
    b"PK\x03\x04": "a workbook or an archive: name it .xlsx, or unpack it",
    b"\x1f\x8b": "compressed: unpack it",
    b"PAR1": "Parquet: name it .parquet",
    b"\xd0\xcf\x11\xe0": "an old workbook: save it as .xlsx",
}


def parse_delimited(data: bytes, *, name: str) -> pl.DataFrame:
    r"""Read delimited text with a header line.

    Understands UTF-8, UTF-16 with a byte order mark and Windows-1252, the delimiters comma, semicolon, tab
    and bar, a ``sep=;`` line as Excel writes it, and the notes above LinkedIn's exports.

    Args:
        data: the bytes of the file.
        name: the file's name, for messages.

    Returns:
        One String column per field of the header, one row per record; an empty field is null, also
        in quotes. A header that repeats gets a number (``Email_1``), an empty one the number of its column
        (``column_3``).

    Raises:
        FileFormatError: if it is no text, there is no header, or a record has not as many fields as the
            header.

    Example:
        >>> parse_delimited("Größe;Mail\n7;a@b.example\n".encode("cp1252"), name="leads.csv").rows()
        [('7', 'a@b.example')]
    """
    text, skipped, delimiter = _skip_preamble(_as_utf8(data, name))
    header = _header(text, name)
    if not header:
        raise FileFormatError(f"{name} is empty: it needs a header line that names the columns.")
    candidates = delimiter or _candidates(header)
    fitting = (mark for mark in candidates if _is_even(text, mark, len(_split(header, mark))))
    even = next(fitting, None)
    delimiter = even or candidates[0]
    columns = name_columns(_split(header, delimiter))
    mended = partial(_mend_quotes, text, delimiter, len(columns), name=name, skipped=skipped)
    # null_values: else an empty field would be null only without quotes
    read = partial(pl.read_csv, separator=delimiter, infer_schema=False, new_columns=columns, null_values="")
    try:
        if even is not None:
            with contextlib.suppress(pl.exceptions.PolarsError):
                return read(text)
        return read(mended())
    except pl.exceptions.PolarsError:  # whose message may quote a lead
        raise FileFormatError(f"{name} cannot be read as delimited text. Save it again as CSV.") from None


# --- the text --------------------------------------------------------------------------------------------


def _as_utf8(data: bytes, name: str) -> bytes:
    """The text in UTF-8, without a byte order mark, with line feeds, without blank lines at the end."""
    for mark, what in _OTHER_FORMATS.items():
        if data.startswith(mark):
            raise FileFormatError(f"{name} is no delimited text. It is {what}.")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        data = _recoded(data, "utf-16", name)
    elif b"\0" in data[:_BLOCK]:
        raise FileFormatError(
            f"{name} is no text: it has zero bytes, as UTF-16 without a byte order mark does. Save it as CSV "
            "in UTF-8; a sheet has the ending .xlsx."
        )
    elif not _is_utf8(data):
        _require_not_damaged(data, name)
        data = _recoded(data, "cp1252", name)
    data = data.removeprefix(codecs.BOM_UTF8)
    if b"\r" in data and b"\n" not in data:  # as old Macs, and Excel for them, write it
        data = data.replace(b"\r", b"\n")
    return data.rstrip(b"\r\n") + b"\n"


def _require_not_damaged(data: bytes, name: str) -> None:
    """Refuse text that is UTF-8 but for a few bytes: as Windows-1252, all its names would be wrong."""
    text = data.decode("utf-8", "replace")
    wrong = text.count("\ufffd")
    right = len(text) - wrong - int((np.frombuffer(data, np.uint8) < 0x80).sum())
    if right > wrong:
        line = text.count("\n", 0, text.index("\ufffd")) + 1
        raise FileFormatError(
            f"{name}, line {line}: a character is damaged, or not in UTF-8 as the others are. Save it again "
            "as UTF-8."
        )


def _recoded(data: bytes, encoding: str, name: str) -> bytes:
    """The text in UTF-8."""
    try:
        return data.decode(encoding).encode()
    except UnicodeError as error:
        line = data.count(b"\n", 0, getattr(error, "start", 0)) + 1
        raise FileFormatError(
            f"{name}, line {line}: the text is not in UTF-8, UTF-16 or Windows-1252. Save it again as UTF-8."
        ) from None


def _is_utf8(data: bytes) -> bool:
    """Whether the bytes are UTF-8, looked at in blocks so that a large file is never there twice."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(data), _BLOCK):
            decoder.decode(data[start : start + _BLOCK])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _skip_preamble(text: bytes) -> tuple[bytes, int, str | None]:
    """The text from its header on, how many lines were skipped, and the delimiter if a line names it."""
    rest, delimiter = text.lstrip(b"\r\n"), None
    first = rest[:200].splitlines()[0].strip(b'" ') if rest else b""
    if first.lower().startswith(b"sep=") and (named := first[4:5].decode("ascii", "replace")) in DELIMITERS:
        delimiter, rest = named, rest[rest.index(b"\n") + 1 :]
    elif _bare(first).lower() == NOTES.encode():
        rest = _below_notes(rest)
    return rest, text.count(b"\n", 0, len(text) - len(rest)), delimiter


def _below_notes(text: bytes) -> bytes:
    """LinkedIn's export without the notes above its header, and the blank line below them.

    A spreadsheet that saves the file again fills that line, and the others, with delimiters.
    """
    ends = next((ends[:_LONGEST_NOTES] for ends, _ in _records(text, ",") if len(ends)), ())
    start = 0
    for end in map(int, ends):
        if not _bare(text[start:end]):
            return text[end:].lstrip(b"\r\n")
        start = end + 1
    return text


def _bare(line: bytes) -> bytes:
    """A line without the delimiters, quotation marks and spaces around it."""
    return line.strip(b' \r",;\t|')


def _header(text: bytes, name: str) -> str:
    """The first record, line breaks inside quotes included; empty if there is no text."""
    end = next((int(ends[0]) for ends, _ in _records(text, ",") if len(ends)), None)
    if end is None and text:
        raise FileFormatError(f"{name}: a quotation mark in the header line is not closed.")
    header = text[:end].decode().strip("\r\n")
    if "\0" in header:  # after it was decoded: UTF-32 begins as UTF-16 does
        raise FileFormatError(f"{name}: the header line holds zero bytes. Save it again as UTF-8.")
    return header


def _candidates(header: str) -> str:
    """The delimiters that occur outside quotes, most frequent first; a comma if there are none."""
    unquoted = "".join(header.split('"')[::2])
    ranked = sorted(DELIMITERS, key=unquoted.count, reverse=True)
    return "".join(mark for mark in ranked if mark in unquoted) or ","


def _split(header: str, delimiter: str) -> list[str]:
    """The fields of the header."""
    with _fields_of_any_length(len(header)):
        return next(csv.reader(io.StringIO(header, newline=""), delimiter=delimiter))


def name_columns(names: Sequence[str]) -> list[str]:
    """The names of a header, each once and none empty.

    Args:
        names: as they stand there.

    Example:
        >>> name_columns(["Email", "", "Email"])
        ['Email', 'column_2', 'Email_1']
    """
    seen: dict[str, None] = {}
    for position, name in enumerate(names, start=1):
        plain = name if name.strip() else f"column_{position}"
        candidates = (f"{plain}_{number}" if number else plain for number in range(len(names) + 1))
        seen[next(candidate for candidate in candidates if candidate not in seen)] = None
    return list(seen)


# --- the records -----------------------------------------------------------------------------------------


def _is_even(text: bytes, delimiter: str, width: int) -> bool:
    """Whether every record that is not blank has so many fields, and every quotation mark a partner."""
    raw = np.frombuffer(text, np.uint8)
    end, before = -1, 0
    for ends, separators in _records(text, delimiter):
        fields = np.diff(separators, prepend=before) + 1
        length = np.diff(ends, prepend=end)
        blank = (length == 1) | ((length == 2) & (raw[ends - 1] == _RETURN))
        if not (blank | (fields == width)).all():
            return False
        if len(ends):
            end, before = int(ends[-1]), int(separators[-1])
    return end == len(text) - 1


def _records(text: bytes, delimiter: str) -> Iterator[tuple[_Places, _Places]]:
    """Block by block: where records end, and how many delimiters the text has up to there, quotes minded."""
    quoted, seen = np.False_, 0
    for start in range(0, len(text), _BLOCK):
        block = np.frombuffer(text, np.uint8, min(_BLOCK, len(text) - start), start)
        inside = np.logical_xor.accumulate(block == _QUOTE) ^ quoted
        separators = np.flatnonzero((block == ord(delimiter)) & ~inside)
        ends = np.flatnonzero((block == _NEWLINE) & ~inside)
        yield ends + start, np.searchsorted(separators, ends) + seen
        quoted, seen = inside[-1], seen + len(separators)


def _mend_quotes(text: bytes, delimiter: str, width: int, *, name: str, skipped: int) -> bytes:
    """The text quoted as the rules have it, for stray marks as in ``5" pipe``; refuses ragged records.

    Goes through the records one by one: rare, slow and exact, and it knows the line.
    """
    lines = io.TextIOWrapper(io.BytesIO(text), encoding="utf-8", newline="")
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    mended = io.StringIO(newline="")
    writer = csv.writer(mended, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_MINIMAL)
    line = skipped + 1
    try:
        with _fields_of_any_length(len(text)):
            for record in reader:
                if record and len(record) != width:
                    raise FileFormatError(
                        f"{name}, line {line}: a record of {len(record)} instead of {width} fields. A field "
                        "that holds a delimiter or a line break needs quotation marks around it."
                    )
                writer.writerow(record)
                line = skipped + reader.line_num + 1
    except csv.Error:
        raise FileFormatError(
            f"{name}, line {line}: a quotation mark is not closed, or one inside quotation marks is not "
            "doubled."
        ) from None
    return mended.getvalue().encode()


@contextlib.contextmanager
def _fields_of_any_length(longest: int) -> Iterator[None]:
    """Without the limit of Python's reader, which is the whole process's; put back afterwards."""
    with _LIMIT:
        before = csv.field_size_limit(max(csv.field_size_limit(), min(longest, _MAX_LONG)))
        try:
            yield
        finally:
            csv.field_size_limit(before)
