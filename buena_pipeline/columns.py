"""Which columns of a user's table say who a lead is. Reads names and dtypes only, never a value.

The headers known here are those of HubSpot, Salesforce, Apollo, LinkedIn, Sales Navigator tools, Pipedrive,
Outlook and Google exports. A header that is not known is left alone rather than guessed at.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

import polars as pl

from buena_pipeline.errors import ColumnError

_PERSON = "(?:hs|contact|lead|person|personal|prospect|candidate|attendee|member)?"
_WHOSE = (
    "(?:work|business|professional|corporate|office|personal|private|home|primary|main|preferred|secondary"
    "|second|tertiary|third|additional|alternate|alternative|other|verified)"
)
_LINKEDIN = "(?:public|member|user)?linked?in(?:public|member|user|personal)?"

# What a header may be once case, spaces and punctuation are gone: regular expressions in tiers, best first. A
# lower tier counts only where no column fits a higher one, because one export may bring both.
_HEADERS: Final[dict[str, tuple[str, ...]]] = {
    "email": (rf"{_PERSON}{_WHOSE}*e?mails?(?:id|address(?:es)?)?\d*(?:value|address)?{_WHOSE}?\d*",),
    "linkedin_url": (
        rf"{_PERSON}{_LINKEDIN}(?:profile)?(?:url|link|address)?(?:public)?",
        "(?:default|public)profile(?:url|link)",
        rf"{_PERSON}profile(?:url|link)",
    ),
    "first_name": (rf"{_PERSON}(?:first|given|fore)name|fname",),
    "last_name": (rf"{_PERSON}(?:last|family|sur)name|lname",),
    "full_name": (rf"{_PERSON}fullname|(?:contact|lead|person|prospect|candidate|attendee|member)name",),
    "company": (
        rf"{_PERSON}(?:current)?(?:company|employer|organi[sz]ation|account)1?name"
        rf"|{_PERSON}(?:current)?(?:company|employer|organi[sz]ation)"
        "|companyaccount|accountaccountname",
        "(?:primary)?associatedcompany(?:names?)?(?:primary)?",
        "companynameforemails|companynamecleaned",
    ),
}

# Headers that could be anything, and the company they must be seen in to be trusted (None: any).
_GENERIC: Final[dict[str, tuple[str, frozenset[str] | None]]] = {
    "linkedin_url": ("url", frozenset({"connectedon"})),  # LinkedIn's own export of connections
    "first_name": ("first", frozenset({"last", "lastname", "surname"})),
    "last_name": ("last", frozenset({"first", "firstname", "givenname"})),
    "full_name": ("name", None),  # used only where a row has neither first nor last name
}

_TEXTUAL: Final = (pl.String, pl.Categorical, pl.Enum)
_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class LeadColumns:
    """Which column of a table says what about a lead.

    Args:
        email: columns with e-mail addresses. All of them identify; the first that is filled is sent.
        linkedin_url: the column with the LinkedIn profile of the person, not of the company.
        first_name: the column with the first name.
        last_name: the column with the last name.
        full_name: the column with first and last name together, used on rows where both are missing.
        company: the column with the name of the company.

    Example:
        >>> LeadColumns(email=("Work Email", "Home Email")).names
        ('Work Email', 'Home Email')
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
        """Whether a row can be a lead at all: an address, a profile, or a name with a company."""
        named = bool(self.first_name and self.last_name) or bool(self.full_name)
        return bool(self.email or self.linkedin_url) or (named and self.company is not None)


FIELDS: Final = tuple(field.name for field in fields(LeadColumns))


def find_columns(
    schema: pl.Schema, overrides: Mapping[str, str | Sequence[str] | None] | None = None
) -> LeadColumns:
    """Find the columns that say who a lead is, by their names.

    Case, spaces, punctuation, underscores and a byte order mark make no difference. There may be any number
    of e-mail columns, taken in table order, and one column for every other field.

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
            is wrong, or if a column in use is nested or binary.

    Example:
        >>> schema = pl.Schema({"Name": pl.String, "E-mail Address": pl.String, "Company / Account": pl.String})
        >>> found = find_columns(schema)
        >>> found.email, found.full_name, found.company
        (('E-mail Address',), 'Name', 'Company / Account')
        >>> find_columns(schema, {"email": "Name", "full_name": None, "company": None}).names
        ('Name',)
    """
    given = _read_overrides(schema, overrides or {})
    taken = {name for names in given.values() for name in names}
    folded = {name: _fold(name) for name in schema if name not in taken}
    chosen = {
        field: given[field] if field in given else tuple(_candidates(field, folded)) for field in FIELDS
    }
    for field, names in chosen.items():
        if field != "email" and len(names) > 1:
            raise ColumnError(
                f"{_listed(names)} could each be the {field} of a lead, and only one can be. "
                f'Say which: columns={{"{field}": "{names[0]}"}}, or None to use none of them.',
                columns=names,
            )
    columns = LeadColumns(
        email=chosen["email"],
        **{field: names[0] if names else None for field, names in chosen.items() if field != "email"},
    )
    if not columns.can_identify:
        raise ColumnError(_nobody(schema), columns=columns.names)
    require_columns(schema, columns)
    return columns


def require_columns(schema: pl.Schema, columns: LeadColumns) -> None:
    """Check that a table has these columns and that they hold values that can be read as text.

    Args:
        schema: the names and dtypes of the table.
        columns: the columns that are going to be read.

    Raises:
        ColumnError: if a column is missing, nested or binary.

    Example:
        >>> require_columns(pl.Schema({"email": pl.String}), LeadColumns(email=("email",)))
    """
    for name in columns.names:
        if name not in schema:
            raise ColumnError(_missing(name, schema), columns=(name,))
        dtype = schema[name]
        if isinstance(dtype, pl.List | pl.Array):
            cure = f'Join it first, such as pl.col("{name}").list.join(";").'
        elif isinstance(dtype, pl.Struct):
            cure = f'Pick a field first, such as pl.col("{name}").struct.field(...).'
        elif isinstance(dtype, _TEXTUAL) or dtype.is_numeric() or dtype.is_temporal():
            continue
        elif dtype in {pl.Boolean, pl.Null}:
            continue
        else:
            cure = "Cast it to pl.String first."
        raise ColumnError(
            f'Column "{name}" is {dtype}, which cannot be read as text. {cure}', columns=(name,)
        )


def _fold(name: str) -> str:
    """A header without case, spaces, punctuation and the affixes of Salesforce API names."""
    plain = re.sub(r"^(?:[A-Za-z0-9]+__)?(\w+?)__[a-z]$", r"\1", name.strip("\ufeff \t"))
    return "".join(char for char in unicodedata.normalize("NFKC", plain).casefold() if char.isalnum())


def _candidates(field: str, folded: Mapping[str, str]) -> Iterator[str]:
    """The columns whose headers say this field, in table order, out of the best tier that has any."""
    for tier in _HEADERS[field]:
        if found := [name for name, header in folded.items() if re.fullmatch(tier, header)]:
            yield from found
            return
    if field in _GENERIC:
        generic, company = _GENERIC[field]
        if company is None or company & set(folded.values()):
            yield from (name for name, header in folded.items() if header == generic)


def _read_overrides(
    schema: pl.Schema, overrides: Mapping[str, str | Sequence[str] | None]
) -> dict[str, tuple[str, ...]]:
    """The overrides as column names by field, checked."""
    if not isinstance(overrides, Mapping):
        raise ColumnError(
            f'columns= takes a mapping such as {{"email": "Mail"}}, not {type(overrides).__name__}.'
        )
    given = {field: _read_override(field, value) for field, value in overrides.items()}
    seen: dict[str, str] = {}
    for field, names in given.items():
        for name in names:
            if name not in schema:
                raise ColumnError(
                    _missing(name, schema, f" (columns= gives it for {field})"), columns=(name,)
                )
            if name in seen:
                raise ColumnError(
                    f'Column "{name}" is given twice in columns=: for {seen[name]} and for {field}. '
                    "A column can say only one thing.",
                    columns=(name,),
                )
            seen[name] = field
    return given


def _read_override(field: object, value: object) -> tuple[str, ...]:
    """The column names that one override gives: none, one, or for e-mail several."""
    if not isinstance(field, str) or field not in FIELDS:
        raise ColumnError(
            f"columns= has no field {field!r}{_suggestion(str(field), FIELDS)} The fields are {', '.join(FIELDS)}."
        )
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if field != "email":
        raise ColumnError(f'columns={{"{field}": ...}} takes one column name or None, not {value!r}.')
    if not isinstance(value, Sequence) or not all(isinstance(name, str) for name in value):
        raise ColumnError(
            f'columns={{"email": ...}} takes a column name, a list of them or None, not {value!r}.'
        )
    if not value:
        raise ColumnError(
            'columns={"email": []} names no column; give at least one, or None to use no e-mail.'
        )
    return tuple(value)


def _missing(name: str, schema: pl.Schema, where: str = "") -> str:
    """The message for a column that the table does not have."""
    return (
        f'There is no column "{name}" in the table{where}{_suggestion(name, schema)} It has {_seen(schema)}.'
    )


def _nobody(schema: pl.Schema) -> str:
    """The message for a table in which no column identifies anybody."""
    return (
        f"No column says who the leads are. The table has {_seen(schema)}. Needed is an e-mail address, a "
        "LinkedIn profile URL, or first and last name (or full name) with a company. Say which columns those "
        'are: columns={"email": "...", "linkedin_url": "...", "full_name": "...", "company": "..."}.'
    )


def _suggestion(name: str, known: Iterable[str]) -> str:
    """The end of a sentence: a full stop, or the known names that look like this one."""
    by_header = {_fold(candidate): candidate for candidate in known}
    close = difflib.get_close_matches(_fold(name), by_header, n=3, cutoff=0.6)
    return f": did you mean {_listed([by_header[header] for header in close], 'or')}?" if close else "."


def _seen(schema: pl.Schema) -> str:
    """The columns of the table, at most twenty of them."""
    if not schema:
        return "no columns"
    rest = len(schema) - _SHOWN
    return ", ".join(f'"{name}"' for name in list(schema)[:_SHOWN]) + (
        f" and {rest} more" if rest > 0 else ""
    )


def _listed(names: Sequence[str], word: str = "and") -> str:
    """Quoted names as they stand in a sentence."""
    quoted = [f'"{name}"' for name in names]
    return f" {word} ".join([", ".join(quoted[:-1]), quoted[-1]]) if len(quoted) > 1 else quoted[0]
