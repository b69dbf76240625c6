"""Which columns of a user's table say who a lead is. Reads names and dtypes only, never a value.

What a header means is in ``headers``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

import polars as pl

from buena_pipeline.errors import ColumnError
from buena_pipeline.headers import candidates, folded, likely

_NESTED_CURES: Final = {
    pl.List: 'Join it first: pl.col("{name}").list.join(";").',
    pl.Array: 'Join it first: pl.col("{name}").arr.join(";").',
    pl.Struct: 'Take a field out first: pl.col("{name}").struct.field("...").',
}
_TEXTS: Final = (pl.String, pl.Categorical, pl.Enum, pl.Null)
_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class LeadColumns:
    """Which column of a table says what about a lead.

    Args:
        email: columns with e-mail addresses. All of them identify; the first that is filled is sent.
        linkedin_url: the column with the LinkedIn profile of the person, not of the company.
        first_name: the column with the first name.
        last_name: the column with the last name.
        full_name: the column with first and last name together, read in rows where both are missing.
        company: the column with the name of the company.

    Example:
        >>> LeadColumns(email=("Work Email", "Home Email"), company="Firm").names
        ('Work Email', 'Home Email', 'Firm')
    """

    email: tuple[str, ...] = ()
    linkedin_url: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    full_name: str | None = None
    company: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The columns in use, e-mail columns first."""
        rest = (self.linkedin_url, self.first_name, self.last_name, self.full_name, self.company)
        return (*self.email, *(name for name in rest if name is not None))

    @property
    def can_identify(self) -> bool:
        """Whether there can be a lead at all: an address, a profile, or a name with a company."""
        named = bool((self.first_name and self.last_name) or self.full_name)
        return bool(self.email or self.linkedin_url or (named and self.company))

    def as_overrides(self) -> dict[str, str | list[str]]:
        """The same as ``find_columns`` takes it, without the fields that no column is for.

        Example:
            >>> LeadColumns(email=("Mail",), company="Firm").as_overrides()
            {'email': 'Mail', 'company': 'Firm'}
        """
        emails = {"email": self.email[0] if len(self.email) == 1 else [*self.email]} if self.email else {}
        single = {name: getattr(self, name) for name in _FIELDS if name != "email"}
        return emails | {name: column for name, column in single.items() if column is not None}


_FIELDS: Final = tuple(field.name for field in fields(LeadColumns))


LEAD_COLUMNS: Final = LeadColumns(
    email=("email",),
    linkedin_url="linkedin_url",
    first_name="first_name",
    last_name="last_name",
    company="company",
)
"""Those of a table of leads in our own names, ``schema.LEAD_FIELDS``."""


def find_columns(
    schema: pl.Schema, overrides: Mapping[str, str | Sequence[str] | None] | None = None
) -> LeadColumns:
    """Find the columns that say who a lead is, by their names.

    Case, spaces, punctuation, underscores and a byte order mark make no difference. There may be any number
    of e-mail columns, which are taken in table order, and one column for every other field.

    Args:
        schema: the names and dtypes of the table. Text, categorical, number, boolean, date and null columns
            are fine, and lists of text for ``email``; other nested and binary ones are refused, where no
            other column can be the e-mail.
        overrides: columns to use instead of those found, by field: ``email``, ``linkedin_url``,
            ``first_name``, ``last_name``, ``full_name``, ``company``. ``email`` takes a list as well, and
            None means: do not use this field.

    Returns:
        The columns to use; at least enough of them to tell people apart.

    Raises:
        ColumnError: if two columns could be the same field, if no column identifies anybody, if an override
            is wrong, or if a column in use cannot be read as text.

    Example:
        >>> schema = pl.Schema(dict.fromkeys(["Name", "E-mail Address", "Company / Account"], pl.String))
        >>> found = find_columns(schema)
        >>> found.email, found.full_name, found.company
        (('E-mail Address',), 'Name', 'Company / Account')
        >>> find_columns(schema, {"email": None}).email
        ()
    """
    chosen = _read_overrides(schema, overrides or {})
    taken = {name for names in chosen.values() for name in names}
    free = [name for name in schema if name not in taken]
    for field in _FIELDS:
        names = chosen.setdefault(field, _readable(field, candidates(field, free), schema))
        if field != "email" and len(names) > 1:
            raise ColumnError(
                f"{_listed(names)} could each be the {field} of a lead, and only one can be. "
                f'Say which: columns={{"{field}": "{names[0]}"}}, or None to use none of them.',
                columns=names,
            )
    single = {field: names[0] if names else None for field, names in chosen.items() if field != "email"}
    columns = LeadColumns(email=chosen["email"], **single)
    if not columns.can_identify:
        raise ColumnError(
            f"No column says who the leads are. The table has {_seen(schema)}. Needed is an e-mail, a "
            "LinkedIn profile, or first and last name (or full name) with a company. Say which these are: "
            'columns={"email": "...", "linkedin_url": "...", "full_name": "...", "company": "..."}.'
        )
    require_columns(schema, columns)
    return columns


def unread_columns(
    schema: pl.Schema,
    columns: LeadColumns,
    overrides: Mapping[str, str | Sequence[str] | None] | None = None,
) -> dict[str, str]:
    """The columns that were not read, although their names look as if they said who a lead is.

    Args:
        schema: the names and dtypes of the table.
        columns: what ``find_columns`` found.
        overrides: what it was given; nothing is said of these fields.

    Returns:
        By column, the field it may be.

    Example:
        >>> schema = pl.Schema(dict.fromkeys(["E-Mail", "LinkedIn (URL Kontakt)"], pl.String))
        >>> unread_columns(schema, find_columns(schema))
        {'LinkedIn (URL Kontakt)': 'linkedin_url'}
    """
    found = columns.as_overrides().keys()
    needless = {"full_name"} if columns.first_name and columns.last_name else set()
    if columns.full_name and not columns.first_name:
        needless = {"first_name", "last_name"}
    asked = [field for field in _FIELDS if field not in (overrides or {}) and field not in needless]
    return likely(
        schema,
        read=columns.names,
        missing=[field for field in asked if field not in found],
        found=[field for field in asked if field in found and field != "email"],
    )


def describe_columns(
    columns: Mapping[str, str | Sequence[str]], unread: Mapping[str, str], *, invalid: int
) -> list[tuple[str, str]]:
    """Which column was read as what and, where rows are invalid, which others may say who they are.

    Args:
        columns: ``EnrichmentPlan.columns``.
        unread: ``EnrichmentPlan.unread``.
        invalid: rows that nothing identifies.

    Example:
        >>> describe_columns({"email": ["Mail", "Mail 2"]}, {"LI": "linkedin_url"}, invalid=3)[0]
        ('read', 'email = Mail, email = Mail 2')
        >>> describe_columns({"email": "Mail"}, {"LI": "linkedin_url"}, invalid=3)[1]
        ('perhaps', 'columns={"linkedin_url": "LI"}: it was not read so, and 3 rows are invalid')
    """
    pairs = [
        (what, name)
        for what, names in columns.items()
        for name in ([names] if isinstance(names, str) else names)
    ]
    lines = [("read", ", ".join(f"{what} = {_on_one_line(name)}" for what, name in pairs))]
    if invalid and unread:
        first: dict[str, str] = {}
        for name, what in unread.items():
            first.setdefault(what, name)
        given = ", ".join(f'"{what}": "{_on_one_line(name)}"' for what, name in first.items())
        they = "it was" if len(first) == 1 else "they were"
        lines.append(("perhaps", f"columns={{{given}}}: {they} not read so, and {_of_rows(invalid)} invalid"))
    return lines


def require_columns(schema: pl.Schema, columns: LeadColumns) -> None:
    """Check that a table has these columns and that they can be read as text.

    Args:
        schema: the names and dtypes of the table.
        columns: the columns that are going to be read.

    Raises:
        ColumnError: if a column is missing, nested, binary or otherwise without a text form.

    Example:
        >>> require_columns(pl.Schema({"email": pl.String}), LeadColumns(email=("email",)))
    """
    for name in columns.names:
        require_column(schema, name)
        if not (name in columns.email and _is_list_of_cells(schema[name])):
            require_text(name, schema[name])


def require_text(name: str, dtype: pl.DataType) -> None:
    """Check that a column can be read as text.

    Args:
        name: of the column, for the message.
        dtype: of the column.

    Raises:
        ColumnError: if it is nested, binary or otherwise without a text form.

    Example:
        >>> require_text("email", pl.List(pl.String()))
        Traceback (most recent call last):
        buena_pipeline.errors.ColumnError: Column "email" is List(String), which cannot be read as text. ...
    """
    if not _is_cell(dtype):
        cure = _NESTED_CURES.get(type(dtype), 'Turn it into text first: pl.col("{name}").cast(pl.String).')
        raise ColumnError(
            f'Column "{name}" is {dtype}, which cannot be read as text. {cure.format(name=name)}',
            columns=(name,),
        )


def text_of(schema: pl.Schema, name: str) -> pl.Expr:
    """A column as text, where a list of e-mail addresses is one text with all of them.

    Args:
        schema: the names and dtypes of the table.
        name: the column; ``require_columns`` has let it pass.

    Example:
        >>> table = pl.DataFrame({"mails": [["jane@acme.example", None, "jd@home.example"]]})
        >>> table.select(text_of(table.schema, "mails")).item()
        'jane@acme.example;jd@home.example'
    """
    if isinstance(schema[name], pl.List):
        return pl.col(name).cast(pl.List(pl.String)).list.join(";")
    return pl.col(name).cast(pl.String)


def require_column(schema: pl.Schema, name: str, *, whose: str = "") -> None:
    """Check that a table has a column.

    Args:
        schema: the names and dtypes of the table.
        name: the column.
        whose: who asks for it, for the message.

    Raises:
        ColumnError: if it has not; says which there are.

    Example:
        >>> require_column(pl.Schema({"deal": pl.Int64}), "deal_size", whose="The priority")
        Traceback (most recent call last):
        buena_pipeline.errors.ColumnError: The priority asks for a column "deal_size" that the table does not
        have: did you mean "deal"? It has "deal".
    """
    if name not in schema:
        what = (
            f'{whose} asks for a column "{name}" that the table does not have'
            if whose
            else f'There is no column "{name}" in the table'
        )
        raise ColumnError(f"{what}{_similar(name, schema)} It has {_seen(schema)}.", columns=(name,))


def _readable(field: str, names: tuple[str, ...], schema: pl.Schema) -> tuple[str, ...]:
    """Of several columns for the e-mail those with one text a row, if there are any."""
    if field != "email":
        return names
    return tuple(name for name in names if _is_cell(schema[name])) or names


def _is_cell(dtype: pl.DataType) -> bool:
    """Whether a column has one value a row that can be read as text."""
    textual = isinstance(dtype, pl.String | pl.Categorical | pl.Enum | pl.Boolean | pl.Null)
    return textual or dtype.is_numeric() or (dtype.is_temporal() and dtype != pl.Duration)


def _is_list_of_cells(dtype: pl.DataType) -> bool:
    """Whether a column has a list of texts a row."""
    return isinstance(dtype, pl.List) and dtype.inner in _TEXTS


def _on_one_line(name: str) -> str:
    """A header without what would move the cursor."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", name)


def _of_rows(number: int) -> str:
    return f"{number:,} row{' is' if number == 1 else 's are'}"


def _read_overrides(
    schema: pl.Schema, overrides: Mapping[str, str | Sequence[str] | None]
) -> dict[str, tuple[str, ...]]:
    """The overrides as column names by field, checked."""
    if not isinstance(overrides, Mapping):
        raise ColumnError(f'columns takes a mapping such as {{"email": "Mail"}}, not {overrides!r}.')
    given = {field: _read_override(field, value) for field, value in overrides.items()}
    seen: dict[str, str] = {}
    for field, name in ((field, name) for field, names in given.items() for name in names):
        require_column(schema, name)
        if name in seen:
            raise ColumnError(
                f'columns gives "{name}" twice, for {seen[name]} and for {field}. One column says one thing.',
                columns=(name,),
            )
        seen[name] = field
    return given


def _read_override(field: str, value: object) -> tuple[str, ...]:
    """The column names that one override gives: none, one, or for e-mail several."""
    if field not in _FIELDS:
        known = ", ".join(_FIELDS)
        raise ColumnError(f"columns has no field {field!r}{_similar(field, _FIELDS)} The fields are {known}.")
    if value is None or isinstance(value, str):
        return () if value is None else (value,)
    if field == "email" and isinstance(value, Sequence) and value and all(isinstance(n, str) for n in value):
        return tuple(value)
    takes = "a column name, a list of at least one, or None" if field == "email" else "a column name or None"
    raise ColumnError(f'columns={{"{field}": {value!r}}} cannot be used: {field} takes {takes}.')


def _similar(name: object, known: Iterable[str]) -> str:
    """The end of a sentence: a question after known names that look like this one, or a full stop."""
    import difflib

    by_header = {folded(candidate): candidate for candidate in known}
    close = difflib.get_close_matches(folded(str(name)), by_header, n=3, cutoff=0.6)
    return f": did you mean {_listed([by_header[header] for header in close], 'or')}?" if close else "."


def _seen(schema: pl.Schema) -> str:
    """The columns of the table, at most twenty of them."""
    more = f" and {len(schema) - _SHOWN} more" if len(schema) > _SHOWN else ""
    return ", ".join(f'"{name}"' for name in list(schema)[:_SHOWN]) + more or "no columns"


def _listed(names: Sequence[str], word: str = "and") -> str:
    """Quoted names as they stand in a sentence."""
    quoted = [f'"{name}"' for name in names]
    return f" {word} ".join(filter(None, [", ".join(quoted[:-1]), quoted[-1]]))
