"""Which rows are the same person: the identity keys of every row in, one number per row out.

Rules 1 to 4 of "Identity" in the design stand here, and nothing of how a key is made. The work is done on
whole columns of numbers and stays near-linear in the rows, however long the chains are that they form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from buena_pipeline.people.keys import NOBODY, SHAREABLE, STRONG, Keys, holds_any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from buena_pipeline.people.keys import Indexes, Mask, Rows


def group_people(identified: pl.DataFrame) -> pl.Series:
    """Say which rows are the same person.

    Rows that share a LinkedIn profile, a member id, an address or a mailbox are one person, transitively. A
    group with several profiles is split by profile: its rows without one go to the only profile that their
    keys lead to, or stay by themselves where these lead to several. A row that has nothing but name and
    company joins the one person of that name, or all rows like it where there is no such person, or several.

    Args:
        identified: rows with any of the columns ``key_linkedin``, ``key_member``, ``key_email_0`` ...,
            ``key_mailbox_0`` ... and ``key_name``, as ``identity.identify`` returns them; all of them String,
            or all of them UInt64 with a hash of 64 bits in the place of each key.

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
    linkedin, *others = (Keys.of(identified, kind) for kind in STRONG)
    label = _connect(identified.height, [linkedin, *others])
    rows = _with_several_profiles(label, linkedin, holds_any(identified, ("linkedin",)))
    del linkedin, others
    if rows.size:
        label[rows] = rows[_split(identified[rows])]
    strong = holds_any(identified, STRONG)
    named = holds_any(identified, ("name",))
    if (weak := named & ~strong).any():
        names = identified["key_name"]
        names = names if names.dtype == pl.UInt64 else names.hash()
        sought = names.is_in(names.filter(weak).unique().implode())
        _join_by_name(
            label, Keys.of(identified.select(key_name=pl.when(sought).then("key_name")), "name"), strong
        )
    return _number(label, strong | named)


def _connect(height: int, kinds: Iterable[Keys]) -> Rows:
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
    _follow(label, np.flatnonzero(label != np.arange(height, dtype=np.uint32)))
    return label


def _follow(label: Rows, rows: Indexes) -> None:
    """Let these rows point to where the row that they point to points, until nothing changes."""
    here = label[rows]
    while ((ahead := label[here]) != here).any():
        label[rows] = here = ahead


def _with_several_profiles(label: Rows, linkedin: Keys, has_profile: Mask) -> Indexes:
    """The rows of all groups that hold more than one profile."""
    profile = np.arange(len(label), dtype=np.uint32)
    others = np.flatnonzero((label != profile) & has_profile)
    profile[linkedin.rows] = linkedin.spread(linkedin.first_rows())
    # Of each group one profile, its first row's if it has one, is compared with those of all other rows
    group, of_others = label[others], profile[others]
    lent = ~has_profile[group]
    profile[group[lent]] = of_others[lent]
    apart = profile[group] != of_others
    if not apart.any():
        return np.zeros(0, dtype=np.intp)
    several = np.zeros(len(label), dtype=np.bool_)
    several[group[apart]] = True
    return np.flatnonzero(several[label])


def _split(group: pl.DataFrame) -> Rows:
    """The row that stands for the person of each row, in groups that hold several profiles."""
    linkedin, *others = (Keys.of(group, kind) for kind in STRONG)
    has_profile = holds_any(group, ("linkedin",))
    label = np.arange(group.height, dtype=np.uint32)
    label[linkedin.rows] = linkedin.spread(linkedin.first_rows())
    rest = np.flatnonzero(~has_profile)
    unclaimed = group[rest]
    label[rest] = rest[_connect(len(rest), [Keys.of(unclaimed, kind) for kind in SHAREABLE])]

    lowest = np.full(group.height, NOBODY)
    highest = np.zeros(group.height, dtype=np.uint32)
    for keys in others:
        part = keys.least(np.where(has_profile, NOBODY, label))
        first = keys.least(np.where(has_profile, label, NOBODY))
        last = keys.most(np.where(has_profile, label, np.uint32(0)))
        meet = (part != NOBODY) & (first != NOBODY)
        np.minimum.at(lowest, part[meet], first[meet])
        np.maximum.at(highest, part[meet], last[meet])
    label[rest] = np.where(lowest == highest, lowest, np.arange(group.height, dtype=np.uint32))[label[rest]]
    return label


def _join_by_name(label: Rows, names: Keys, strong: Mask) -> None:
    """Relabel rows that have only a name: to the one person of that name, else to the first row like them."""
    lowest = names.least(np.where(strong, label, NOBODY))
    highest = names.most(np.where(strong, label, np.uint32(0)))
    alike = names.least(np.where(strong, NOBODY, np.arange(len(label), dtype=np.uint32)))
    target = names.spread(np.where(lowest == highest, lowest, alike))
    weak = ~strong[names.rows]
    label[names.rows[weak]] = target[weak]


def _number(label: Rows, someone: Mask) -> pl.Series:
    """The labels as 0, 1, 2 ... in order of first appearance; null for rows that are nobody."""
    rows = np.arange(len(label), dtype=np.uint32)
    if (early := np.flatnonzero(label > rows)).size:
        first = rows.copy()
        np.minimum.at(first, label[early], rows[early])
        label = first[label]
    numbers = np.cumsum((label == rows) & someone, dtype=np.uint32)[label]
    numbers -= np.uint32(1)
    frame = pl.DataFrame({"person": numbers, "someone": someone})
    return frame.select(pl.when("someone").then("person").alias("person")).to_series()
