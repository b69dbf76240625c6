"""Groups rows into people: the identity keys of every row in, one person per row out.

Rules 1 to 5 of "Identity" in the design stand here, and nothing of how a key is made. The work is done on
whole columns of numbers and stays near-linear in the rows, however long the chains are that they form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import polars as pl

from buena_pipeline.schema import KEY_KIND, KEY_KINDS, LEAD_FIELDS, PEOPLE, PERSON_KEYS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from numpy.typing import NDArray

    Rows: TypeAlias = NDArray[np.uint32]
    Mask: TypeAlias = NDArray[np.bool_]
    Indexes: TypeAlias = NDArray[np.integer[Any]]

_NOBODY: Final = np.uint32(2**32 - 1)
_ADDRESSES: Final = ("email", "mailbox")
_STRONG: Final = ("linkedin", *_ADDRESSES)


def group_people(identified: pl.DataFrame) -> pl.Series:
    """Say which rows are the same person.

    Rows that share a LinkedIn profile, an address or a mailbox are one person, transitively. A group with
    several profiles is split by profile: its rows without one go to the only profile that their keys lead
    to, or stay by themselves where these lead to several. A row that has nothing but name and company joins
    the one person of that name, or all rows like it where there is no such person, or several.

    Args:
        identified: rows with any of the String columns ``key_linkedin``, ``key_email_0`` ...,
            ``key_mailbox_0`` ... and ``key_name``, as ``identity.identify`` returns them.

    Returns:
        The Series ``person`` (UInt32), in step with the rows: 0, 1, 2 ... in order of first appearance, null
        where a row has no key at all. Who is grouped with whom does not depend on the order of the rows.

    Example:
        >>> rows = pl.DataFrame(
        ...     {
        ...         "key_linkedin": ["jane", None, None, None],
        ...         "key_email_0": ["j@acme.example", "j@acme.example", "bo@acme.example", None],
        ...     }
        ... )
        >>> group_people(rows).to_list()
        [0, 0, 1, None]
    """
    linkedin, *addresses = (_Keys.of(identified, kind) for kind in _STRONG)
    label = _connect(identified.height, [linkedin, *addresses])
    profiles = np.bincount(label[linkedin.first_rows()], minlength=identified.height)
    if (profiles > 1).any():
        rows = np.flatnonzero(profiles[label] > 1)
        label[rows] = rows[_split(identified[rows])]
    del linkedin, addresses
    strong = _holds_any(identified, _STRONG)
    named = _holds_any(identified, ("name",))
    if (weak := named & ~strong).any():
        names = identified["key_name"].hash()
        sought = names.is_in(names.filter(weak).unique().implode())
        _join_by_name(
            label, _Keys.of(identified.select(key_name=pl.when(sought).then("key_name")), "name"), strong
        )
    return _number(label, strong | named)


def describe_people(identified: pl.DataFrame, person: pl.Series) -> pl.DataFrame:
    """Choose the lead to send for each person: the most complete information of its rows.

    The e-mail is the first personal address, else the first role mailbox. First and last name come from one
    row, the one with the fullest names (``Taylor`` beats ``T.``). Profile and company are the first there
    are. An e-mail that leads to several people is left out for a person with a LinkedIn profile, because the
    vendor might answer with somebody else.

    Args:
        identified: the rows, with the columns ``schema.LEAD_FIELDS`` and ``key_*``.
        person: what ``group_people`` said of them.

    Returns:
        A frame of ``schema.PEOPLE``: one row per person, in the order of their numbers.

    Example:
        >>> rows = pl.DataFrame(
        ...     {
        ...         "email": ["j@acme.example", "j@acme.example"],
        ...         "first_name": ["Jane", "Jane"],
        ...         "last_name": ["T.", "Taylor"],
        ...         "key_email_0": ["j@acme.example", "j@acme.example"],
        ...     }
        ... )
        >>> describe_people(rows, group_people(rows)).select("email", "last_name", "rows").rows()
        [('j@acme.example', 'Taylor', 2)]
    """
    number, people = _slots(person)
    missing = [field for field in LEAD_FIELDS if field not in identified.columns]
    leads = identified.with_columns(pl.lit(None, pl.String).alias(field) for field in missing)
    misleading = pl.lit(pl.Series(_misleading(identified, number, people)))
    ranks = {
        "email": pl.when(~misleading).then(_rank_of_email(identified.columns)),
        "linkedin_url": _rank_of_present("linkedin_url"),
        "first_name": _rank_of_names(),
        "last_name": _rank_of_names(),
        "company": _rank_of_present("company"),
    }
    chosen = {field: _best_of(leads, field, rank, number, people) for field, rank in ranks.items()}
    rows = np.bincount(number, minlength=people + 1)[:people]
    return pl.DataFrame({"person": range(people), **chosen, "rows": rows}).select(
        pl.col(name).cast(dtype) for name, dtype in PEOPLE.items()
    )


def person_keys(identified: pl.DataFrame, person: pl.Series) -> pl.DataFrame:
    """List the keys by which each person can be found again; every key points to exactly one person.

    A key that several people hold points to nobody, with one exception: somebody who has no stronger key
    keeps it (of addresses, the one without a LinkedIn profile; of names, the one with nothing else). They
    could never be found again otherwise, and would be bought in every run.

    Args:
        identified: the rows, with the columns ``key_*``.
        person: what ``group_people`` said of them.

    Returns:
        A frame of ``schema.PERSON_KEYS`` without repetitions, ordered by person, then strength of the kind,
        then first appearance.

    Example:
        >>> rows = pl.DataFrame({"key_linkedin": ["jane", "jo"], "key_email_0": ["us@acme.example"] * 2})
        >>> person_keys(rows, group_people(rows)).rows()
        [(0, 'linkedin', 'jane'), (1, 'linkedin', 'jo')]
    """
    number, people = _slots(person)
    with_profile = _people_with(identified, ("linkedin",), number, people)
    with_strong = _people_with(identified, _STRONG, number, people)
    parts, values, cells = [], [], 0
    for kind in KEY_KINDS:
        keys = _Keys.of(identified, kind)
        owner = keys.least(number)
        if (several := owner != keys.most(number)).any():
            stronger = with_strong if kind == "name" else with_profile
            owner[several] = keys.least(np.where(stronger[number], _NOBODY, number))[several]
        part = {"person": owner, "row": keys.first_rows(), "cell": keys.cells[keys.starts] + cells}
        parts.append(pl.DataFrame(part).filter(owner < people).with_columns(kind=pl.lit(kind, KEY_KIND)))
        values.append(keys.values)
        cells += len(keys.values)
    ordered = pl.concat(parts).sort("person", "kind", "row", "cell")
    return ordered.with_columns(pl.concat(values).gather(ordered["cell"]).alias("value")).select(*PERSON_KEYS)


# --- keys ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Keys:
    """All keys of one kind, equal ones side by side.

    They are compared by polars' 64-bit hash, which is stored nowhere. A collision would make one person of
    two strangers; among ten million different keys the odds of a single one are 1 to 370,000.

    Attributes:
        values: the key of every cell that holds one.
        cells: the cells in an order in which equal keys are neighbours, the first one first.
        rows: the row of each of these cells.
        starts: where in that order the next key begins.
    """

    values: pl.Series
    cells: Indexes
    rows: Rows
    starts: Indexes

    @classmethod
    def of(cls, identified: pl.DataFrame, kind: str) -> _Keys:
        """The keys in all columns of one kind."""
        columns = [identified[name] for name in _key_columns(identified.columns, (kind,))]
        values = pl.concat([pl.Series(dtype=pl.String), *(column.drop_nulls() for column in columns)])
        rows = pl.concat(
            [pl.Series(dtype=pl.UInt32), *(column.is_not_null().arg_true() for column in columns)]
        )
        cells, starts = _side_by_side(values.hash().to_numpy())
        return cls(values, cells, rows.to_numpy()[cells], starts)

    def first_rows(self) -> Rows:
        """The first row that holds each key."""
        return np.minimum.reduceat(self.rows, self.starts)

    def least(self, of_row: Rows) -> Rows:
        """The smallest value among the rows that hold each key."""
        return np.minimum.reduceat(of_row[self.rows], self.starts)

    def most(self, of_row: Rows) -> Rows:
        """The largest value among the rows that hold each key."""
        return np.maximum.reduceat(of_row[self.rows], self.starts)

    def spread(self, of_key: Rows) -> Rows:
        """The value of each key at every one of ``rows``."""
        return np.repeat(of_key, np.diff(self.starts, append=len(self.rows)))

    def links(self) -> tuple[Rows, Rows]:
        """Every row that is not the first one with its key, and that first one."""
        first = self.spread(self.first_rows())
        later = first != self.rows
        return self.rows[later], first[later]


def _side_by_side(hashes: NDArray[np.uint64]) -> tuple[Indexes, Indexes]:
    """An order in which equal hashes are neighbours, earlier cells first, and where in it another begins.

    Sorting numbers takes a third of the time of sorting cells by them. So what is sorted is the upper bits
    of each hash with the cell in the lower ones; the few runs of equal upper bits that mix hashes are sorted
    again.
    """
    lower = np.uint64((1 << len(hashes).bit_length()) - 1)
    upper = (hashes & ~lower) | np.arange(len(hashes), dtype=np.uint64)
    upper.sort()
    cells = (upper & lower).astype(np.intp)
    upper &= ~lower
    ordered = hashes[cells]
    mixed = np.unique(upper[1:][(upper[1:] == upper[:-1]) & (ordered[1:] != ordered[:-1])])
    for begin, end in zip(np.searchsorted(upper, mixed), np.searchsorted(upper, mixed, "right"), strict=True):
        again = np.argsort(ordered[begin:end], kind="stable")
        cells[begin:end] = cells[begin:end][again]
        ordered[begin:end] = ordered[begin:end][again]
    differs = np.ones(len(cells), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=differs[1:])
    return cells, np.flatnonzero(differs)


def _key_columns(columns: Iterable[str], kinds: Iterable[str]) -> list[str]:
    """The columns that hold keys of these kinds."""
    return [
        name
        for name in columns
        if any(name == f"key_{kind}" or name.startswith(f"key_{kind}_") for kind in kinds)
    ]


def _holds_any(identified: pl.DataFrame, kinds: Iterable[str]) -> Mask:
    """Whether each row has a key of one of these kinds."""
    present = [pl.col(name).is_not_null() for name in _key_columns(identified.columns, kinds)]
    if not present:
        return np.zeros(identified.height, dtype=np.bool_)
    return identified.select(pl.any_horizontal(present)).to_series().to_numpy()


# --- grouping --------------------------------------------------------------------------------------------


def _connect(height: int, kinds: Iterable[_Keys]) -> Rows:
    """The first row that each of the rows is connected with by the keys, directly or through others.

    Rounds of two steps: every group joins the lowest of its neighbours, then all rows follow to the end of
    such joins by leaps of double length. At least every second group disappears in two rounds.
    """
    label = np.arange(height, dtype=np.uint32)
    links = [keys.links() for keys in kinds]
    left, right = (np.concatenate([link[side] for link in links]) for side in (0, 1))
    while left.size:
        higher = np.maximum(left, right)
        np.minimum.at(label, higher, np.minimum(left, right))
        _follow(label, higher)
        left, right = label[left], label[right]
        apart = left != right
        left, right = left[apart], right[apart]
    _follow(label, slice(None))
    return label


def _follow(label: Rows, rows: Rows | slice) -> None:
    """Let these rows point to where the row that they point to points, until nothing changes."""
    ahead = label[label[rows]]
    while (ahead != label[rows]).any():
        label[rows] = ahead
        ahead = label[label[rows]]


def _split(group: pl.DataFrame) -> Rows:
    """The row that stands for the person of each row, in groups that hold several profiles."""
    linkedin, *addresses = (_Keys.of(group, kind) for kind in _STRONG)
    has_profile = _holds_any(group, ("linkedin",))
    label = np.arange(group.height, dtype=np.uint32)
    label[linkedin.rows] = linkedin.spread(linkedin.first_rows())
    rest = np.flatnonzero(~has_profile)
    unclaimed = group[rest]
    label[rest] = rest[_connect(len(rest), [_Keys.of(unclaimed, kind) for kind in _ADDRESSES])]

    lowest = np.full(group.height, _NOBODY)
    highest = np.zeros(group.height, dtype=np.uint32)
    for keys in addresses:
        part = keys.least(np.where(has_profile, _NOBODY, label))
        first = keys.least(np.where(has_profile, label, _NOBODY))
        last = keys.most(np.where(has_profile, label, np.uint32(0)))
        meet = (part != _NOBODY) & (first != _NOBODY)
        np.minimum.at(lowest, part[meet], first[meet])
        np.maximum.at(highest, part[meet], last[meet])
    label[rest] = np.where(lowest == highest, lowest, np.arange(group.height, dtype=np.uint32))[label[rest]]
    return label


def _join_by_name(label: Rows, names: _Keys, strong: Mask) -> None:
    """Relabel rows that have only a name: to the one person of that name, else to the first row like them."""
    lowest = names.least(np.where(strong, label, _NOBODY))
    highest = names.most(np.where(strong, label, np.uint32(0)))
    alike = names.least(np.where(strong, _NOBODY, np.arange(len(label), dtype=np.uint32)))
    target = names.spread(np.where(lowest == highest, lowest, alike))
    weak = ~strong[names.rows]
    label[names.rows[weak]] = target[weak]


def _number(label: Rows, someone: Mask) -> pl.Series:
    """The labels as 0, 1, 2 ... in order of first appearance; null for rows that are nobody."""
    rows = np.arange(len(label), dtype=np.uint32)
    first = np.empty_like(rows)
    first[label[::-1]] = rows[::-1]  # of several writes to one place the last one, the first row, stays
    first = first[label]
    numbers = np.cumsum((first == rows) & someone, dtype=np.uint32)[first] - np.uint32(1)
    frame = pl.DataFrame({"person": numbers, "someone": someone})
    return frame.select(pl.when("someone").then("person").alias("person")).to_series()


# --- describing ------------------------------------------------------------------------------------------


def _slots(person: pl.Series) -> tuple[Rows, int]:
    """The number of each row's person, and how many people there are; that many, too, is who is nobody."""
    people = person.drop_nulls().n_unique()
    return person.fill_null(people).to_numpy(), people


def _people_with(identified: pl.DataFrame, kinds: Iterable[str], number: Rows, people: int) -> Mask:
    """Whether each person has a key of one of these kinds."""
    found = np.zeros(people + 1, dtype=np.bool_)
    found[number[_holds_any(identified, kinds)]] = True
    return found


def _misleading(identified: pl.DataFrame, number: Rows, people: int) -> Mask:
    """Rows of people with a profile whose addresses lead to other people as well."""
    mask = np.zeros(identified.height, dtype=np.bool_)
    with_profile = _people_with(identified, ("linkedin",), number, people)
    if with_profile.any():
        for keys in (_Keys.of(identified, kind) for kind in _ADDRESSES):
            several = keys.least(number) != keys.most(number)
            mask[keys.rows[keys.spread(several)]] = True
        mask &= with_profile[number]
    return mask


def _best_of(leads: pl.DataFrame, field: str, rank: pl.Expr, number: Rows, people: int) -> pl.Series:
    """The field in the first row of the highest rank of each person; null where no rank is above 0."""
    ranks = leads.select(rank.fill_null(0).cast(pl.UInt16)).to_series().to_numpy()
    rows = np.flatnonzero(ranks)[::-1]
    rows = rows[np.argsort(ranks[rows], kind="stable")]
    best = np.full(people + 1, _NOBODY)
    best[number[rows]] = rows  # of several writes to one place the last one stays
    return leads[field].gather(pl.Series(best[:people]).replace(int(_NOBODY), None))


def _rank_of_present(field: str) -> pl.Expr:
    """1 where there is something."""
    return pl.col(field).is_not_null()


def _rank_of_email(columns: Collection[str]) -> pl.Expr:
    """2 where the e-mail, which is the first address of its row, is a personal one, else 1."""
    firsts = [
        pl.when(pl.col(email).is_not_null()).then(2).when(_is_filled(mailbox, columns)).then(1)
        for email in _key_columns(columns, ("email",))
        for mailbox in [email.replace("email", "mailbox")]
    ]
    return pl.when(pl.col("email").is_not_null()).then(pl.coalesce(*firsts, 1))


def _is_filled(name: str, columns: Collection[str]) -> pl.Expr:
    """Whether a column, if there is one of that name, has a value."""
    return pl.col(name).is_not_null() if name in columns else pl.lit(value=False)


def _rank_of_names() -> pl.Expr:
    """The higher the fuller: both names before one, an unabridged last name, then first name, then length."""
    first, last = pl.col("first_name").fill_null(""), pl.col("last_name").fill_null("")
    length = (first.str.len_chars() + last.str.len_chars()).clip(0, 999)
    is_pair = (first != "") & (last != "")
    tier = pl.when(is_pair).then(1 + 2 * _is_unabridged(last) + _is_unabridged(first)).otherwise(0)
    return 1000 * tier + length


def _is_unabridged(name: pl.Expr) -> pl.Expr:
    """1 for a name that is more than an initial."""
    return (name.str.replace_all(".", "", literal=True).str.len_chars() > 1).cast(pl.Int32)
