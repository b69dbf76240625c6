"""Which columns of a user's table say who a lead is. Reads names and dtypes only, never a value.

Known are the headers of exports from HubSpot, Salesforce, Apollo, LinkedIn, Sales Navigator tools, Pipedrive,
Outlook and Google. A header that is not known is left alone rather than guessed at.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

import polars as pl

from buena_pipeline.errors import ColumnError

_PERSON = "(?:hs|contact|lead|person|personal|prospect|candidate|attendee|member)?"
_WHOSE = (
    "(?:work|business|professional|corporate|office|personal|private|home|primary|main|preferred|secondary"
    "|second|tertiary|third|additional|alternate|alternative|other|verified)"
)
_FIRM = "(?:company|employer|organi[sz]ation|account)"

# What a header may be once case, spaces and punctuation are gone: regular expressions in tiers, best first. A
# lower tier counts only where no column fits a higher one, because one export may bring both.
_HEADERS: Final[dict[str, tuple[str, ...]]] = {
    "email": (rf"{_PERSON}{_WHOSE}*e?mails?(?:id|address(?:es)?)?\d*(?:value|address)?{_WHOSE}?\d*",),
    "linkedin_url": (
        rf"{_PERSON}(?:public)?linkedin(?:public|member|user|personal)?(?:profile)?(?:url|link|address)?(?:public)?",
        "(?:default|public)profile(?:url|link)",
        rf"{_PERSON}profile(?:url|link)",
    ),
    "first_name": (rf"{_PERSON}(?:first|given|fore)name|fname",),
    "last_name": (rf"{_PERSON}(?:last|family|sur)name|lname",),
    "full_name": (rf"{_PERSON}fullname|(?:contact|lead|person|prospect|candidate|attendee|member)name",),
    "company": (
        rf"{_PERSON}(?:current)?(?:{_FIRM}1?name|company|employer|organi[sz]ation)|companyaccount|accountaccountname",
        "(?:primary)?associatedcompany(?:names?)?(?:primary)?",
        "companynameforemails|companynamecleaned",
    ),
}

# Headers that could mean anything, with those that must stand beside them to be trusted (none: always are).
_GENERIC: Final[dict[str, tuple[str, frozenset[str]]]] = {
    "linkedin_url": ("url", frozenset({"connectedon"})),  # LinkedIn's own export of connections
    "first_name": ("first", frozenset({"last", "lastname", "surname"})),
    "last_name": ("last", frozenset({"first", "firstname", "givenname"})),
    "full_name": ("name", frozenset()),  # read only where a row has neither first nor last name
}

_NESTED_CURES: Final = {
    pl.List: 'Join it first: pl.col("{name}").list.join(";").',
    pl.Array: 'Join it first: pl.col("{name}").arr.join(";").',
    pl.Struct: 'Take a field out first: pl.col("{name}").struct.field("...").',
}
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
            are fine; nested and binary ones are refused.
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
    headers = {name: _folded(name) for name in schema if name not in taken}
    for field in _FIELDS:
        names = chosen.setdefault(field, _candidates(field, headers))
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
    textual = isinstance(dtype, pl.String | pl.Categorical | pl.Enum | pl.Boolean | pl.Null)
    if not (textual or dtype.is_numeric() or (dtype.is_temporal() and dtype != pl.Duration)):
        cure = _NESTED_CURES.get(type(dtype), 'Turn it into text first: pl.col("{name}").cast(pl.String).')
        raise ColumnError(
            f'Column "{name}" is {dtype}, which cannot be read as text. {cure.format(name=name)}',
            columns=(name,),
        )


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


def _folded(name: str) -> str:
    """A header without case, spaces, punctuation and the affixes of Salesforce API names."""
    plain = re.sub(r"^(?:[A-Za-z0-9]+__)?(\w+?)__[a-z]$", r"\1", name.strip("\ufeff \t"))
    return "".join(char for char in unicodedata.normalize("NFKC", plain).casefold() if char.isalnum())


def _candidates(field: str, headers: Mapping[str, str]) -> tuple[str, ...]:
    """The columns whose header says this field, in table order, from the best tier that has any."""
    for tier in _HEADERS[field]:
        if found := tuple(name for name, header in headers.items() if re.fullmatch(tier, header)):
            return found
    generic, beside = _GENERIC.get(field, (None, frozenset()))
    trusted = not beside or not beside.isdisjoint(headers.values())
    return tuple(name for name, header in headers.items() if header == generic and trusted)


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

    by_header = {_folded(candidate): candidate for candidate in known}
    close = difflib.get_close_matches(_folded(str(name)), by_header, n=3, cutoff=0.6)
    return f": did you mean {_listed([by_header[header] for header in close], 'or')}?" if close else "."


def _seen(schema: pl.Schema) -> str:
    """The columns of the table, at most twenty of them."""
    more = f" and {len(schema) - _SHOWN} more" if len(schema) > _SHOWN else ""
    return ", ".join(f'"{name}"' for name in list(schema)[:_SHOWN]) + more or "no columns"


def _listed(names: Sequence[str], word: str = "and") -> str:
    """Quoted names as they stand in a sentence."""
    quoted = [f'"{name}"' for name in names]
    return f" {word} ".join(filter(None, [", ".join(quoted[:-1]), quoted[-1]]))
