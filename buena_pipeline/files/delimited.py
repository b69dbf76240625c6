"""Delimited text as people export it: bytes in, a table of text out, nothing in its cells changed.

What programs do differently is found out here: encoding, delimiter, preamble, line ends. What is broken is
refused with the line it is on, because a shifted cell would buy the wrong person.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from buena_pipeline.errors import FileFormatError

DELIMITERS: Final = (",", ";", "\t", "|")

_Places = npt.NDArray[np.intp]

_BLOCK: Final = 1 << 24
_QUOTE, _NEWLINE, _RETURN = b'"\n\r'


def parse_delimited(data: bytes, *, name: str) -> pl.DataFrame:
    r"""Read delimited text with a header line.

    Understands UTF-8, UTF-16 with a byte order mark and Windows-1252, the delimiters comma, semicolon, tab
    and bar, a ``sep=;`` line as Excel writes it, and the notes above LinkedIn's exports.

    Args:
        data: the bytes of the file.
        name: the file's name, for messages.

    Returns:
        One String column per field of the header, one row per record; an empty field is null. A header that
        repeats gets a number (``Email_1``), an empty one the number of its column (``column_3``).

    Raises:
        FileFormatError: if there is no header, or a record has not as many fields as the header.

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
    columns = _unique(_split(header, delimiter))
    if even is None:
        text = _mend_quotes(text, delimiter, len(columns), name=name, skipped=skipped)
    try:
        return pl.read_csv(text, separator=delimiter, infer_schema=False, new_columns=columns)
    except pl.exceptions.PolarsError:  # whose message may quote a lead
        raise FileFormatError(f"{name} cannot be read as delimited text. Save it again as CSV.") from None


# --- the text --------------------------------------------------------------------------------------------


def _as_utf8(data: bytes, name: str) -> bytes:
    """The text in UTF-8, without a byte order mark, with line feeds, without blank lines at the end."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        data = _recoded(data, "utf-16", name)
    elif b"\0" in data[:_BLOCK]:
        raise FileFormatError(
            f"{name} is no text: it has zero bytes. Save it as CSV in UTF-8; a sheet has the ending .xlsx."
        )
    elif not _is_utf8(data):
        data = _recoded(data, "cp1252", name)
    data = data.removeprefix(codecs.BOM_UTF8)
    if b"\r" in data and b"\n" not in data:  # as old Macs, and Excel for them, write it
        data = data.replace(b"\r", b"\n")
    return data.rstrip(b"\r\n") + b"\n"


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
    elif first.lower().startswith(b"notes:"):  # LinkedIn explains its export, then leaves a line blank
        blank = min((at for at in (rest.find(b"\n\n"), rest.find(b"\n\r\n")) if at >= 0), default=None)
        rest = rest if blank is None else rest[blank:].lstrip(b"\r\n")
    return rest, text.count(b"\n", 0, len(text) - len(rest)), delimiter


def _header(text: bytes, name: str) -> str:
    """The first record, line breaks inside quotes included; empty if there is no text."""
    end = next((int(ends[0]) for ends, _ in _records(text, ",") if len(ends)), None)
    if end is None and text:
        raise FileFormatError(f"{name}: a quotation mark in the header line is not closed.")
    return text[:end].decode().strip("\r\n")


def _candidates(header: str) -> str:
    """The delimiters that occur outside quotes, most frequent first; a comma if there are none."""
    unquoted = "".join(header.split('"')[::2])
    ranked = sorted(DELIMITERS, key=unquoted.count, reverse=True)
    return "".join(mark for mark in ranked if mark in unquoted) or ","


def _split(header: str, delimiter: str) -> list[str]:
    """The fields of the header."""
    return next(csv.reader(io.StringIO(header, newline=""), delimiter=delimiter))


def _unique(names: Sequence[str]) -> list[str]:
    """The names, each once and none empty."""
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
    try:
        for record in reader:
            if record and len(record) != width:
                raise FileFormatError(
                    f"{name}, line {reader.line_num + skipped}: a record of {len(record)} instead of {width} "
                    "fields. A field that holds a delimiter or a line break needs quotation marks around it."
                )
            writer.writerow(record)
    except csv.Error as error:
        raise FileFormatError(
            f"{name}, line {reader.line_num + skipped}: {error}. Is a quotation mark not closed?"
        ) from None
    return mended.getvalue().encode()
