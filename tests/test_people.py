"""Who is grouped with whom, which lead is sent for a person, and which keys find the person again."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buena_pipeline.errors import InputError
from buena_pipeline.people import describe_people, group_people, person_key_cells, person_keys
from buena_pipeline.people.finding import _widths
from buena_pipeline.people.keys import _side_by_side
from buena_pipeline.schema import KEY_KIND, KEY_KINDS, LEAD_FIELDS, PEOPLE, PERSON_KEYS

KEYS = (
    "key_linkedin",
    "key_member",
    "key_email_0",
    "key_email_1",
    "key_mailbox_0",
    "key_mailbox_1",
    "key_name",
)
STRONG = KEYS[:-1]
COLUMNS = (*LEAD_FIELDS, *KEYS)


def rows(*given_rows: dict[str, str]) -> pl.DataFrame:
    """Identified rows with null for everything that is not given."""
    return pl.DataFrame(
        {name: [row.get(name) for row in given_rows] for name in COLUMNS},
        schema=dict.fromkeys(COLUMNS, pl.String),
    )


def row(
    linkedin=None, email=None, name=None, *, member=None, email_1=None, mailbox=None, **lead
) -> dict[str, str]:
    """One identified row by its keys; what could be sent is made from them unless it is given."""
    sent = {
        "email": email or email_1 or (mailbox and mailbox.split("|")[0]),
        "linkedin_url": (linkedin or member) and f"https://www.linkedin.com/in/{linkedin or member}",
    }
    keys = {
        "key_linkedin": linkedin,
        "key_member": member,
        "key_email_0": email,
        "key_email_1": email_1,
        "key_mailbox_0": mailbox,
        "key_name": name,
    }
    return sent | keys | lead


def people(*given_rows: dict[str, str]) -> list[int | None]:
    """The person of each row."""
    return group_people(rows(*given_rows)).to_list()


def keys_of(*given_rows: dict[str, str]) -> list[tuple[int, str, str]]:
    """The keys of the people in these rows."""
    identified = rows(*given_rows)
    return person_keys(identified, group_people(identified)).rows()


def leads_of(*given_rows: dict[str, str]) -> list[dict[str, object]]:
    """The people in these rows as described."""
    identified = rows(*given_rows)
    return describe_people(identified, group_people(identified)).to_dicts()


# --- a slow reading of the rules -------------------------------------------------------------------------


def components(numbers, key_sets) -> dict[int, int]:
    """The rows with these numbers, each with the first one that it is connected with by shared keys."""
    parent = {number: number for number in numbers}

    def root(number):
        while parent[number] != number:
            number = parent[number]
        return number

    holder = {}
    for number in numbers:
        for key in key_sets[number]:
            one, other = root(number), root(holder.setdefault(key, number))
            parent[max(one, other)] = min(one, other)
    return {number: root(number) for number in numbers}


def read_slowly(table: list[dict[str, str]]) -> list[object]:
    """A name for the person of each row, straight from the rules."""
    strong = [
        {(column.split("_")[1], value[column]) for column in STRONG if value.get(column)} for value in table
    ]
    person: list[object] = [None] * len(table)
    group = components([n for n, keys in enumerate(strong) if keys], strong)
    for first in set(group.values()):
        members = [n for n in group if group[n] == first]
        slugs = {table[n].get("key_linkedin") for n in members} - {None}
        rest = [n for n in members if len(slugs) < 2 or not table[n].get("key_linkedin")]
        for n in members:
            person[n] = table[n].get("key_linkedin")
        part = components(rest, strong)
        for start in set(part.values()):
            inside = [n for n in rest if part[n] == start]
            keys = set().union(*(strong[n] for n in inside))
            touched = {table[n].get("key_linkedin") for n in members if strong[n] & keys} - {None}
            verdict = touched.pop() if len(touched) == 1 else start
            for n in inside:
                person[n] = verdict
    named = defaultdict(set)
    for n, value in enumerate(table):
        if person[n] is not None:
            named[value.get("key_name")].add(person[n])
    for n, value in enumerate(table):
        if not strong[n] and (name := value.get("key_name")):
            person[n] = next(iter(named[name])) if len(named[name]) == 1 else ("only a name", name)
    return person


def numbered(names: list[object]) -> list[int | None]:
    """The names as numbers in order of first appearance."""
    seen = list(dict.fromkeys(name for name in names if name is not None))
    return [None if name is None else seen.index(name) for name in names]


few = st.sampled_from
maybe_row = st.fixed_dictionaries(
    {},
    optional={
        "key_linkedin": few(["ann", "bo", "cy"]),
        "key_member": few(["m1", "m2", "m3"]),
        "key_email_0": few(["1@x", "2@x", "3@x", "4@x"]),
        "key_email_1": few(["1@x", "2@x", "5@x"]),
        "key_mailbox_0": few(["info@x|ann", "info@x|bo"]),
        "key_name": few(["ann|x", "bo|x", "cy|x"]),
    },
)
tables = st.lists(maybe_row, max_size=14)


@given(tables)
def test_grouping_is_what_the_rules_say(table):
    """A plain reading of the rules, row by row, groups and numbers the same."""
    assert people(*table) == numbered(read_slowly(table))


@given(tables.flatmap(lambda table: st.tuples(st.just(table), st.permutations(range(len(table))))))
def test_order_of_rows_makes_no_difference(case):
    """Rows in another order are grouped the same, only numbered otherwise."""
    table, order = case
    straight, shuffled = people(*table), people(*(table[n] for n in order))
    assert numbered([straight[n] for n in order]) == shuffled


@given(tables)
def test_nobody_has_two_profiles(table):
    """No person holds two LinkedIn profiles, and no profile belongs to two people."""
    pairs = {
        (number, value["key_linkedin"])
        for number, value in zip(people(*table), table, strict=True)
        if "key_linkedin" in value
    }
    assert len({number for number, _ in pairs}) == len({slug for _, slug in pairs}) == len(pairs)


@given(tables)
def test_every_key_points_to_one_person(table):
    """Of several holders only the one without a stronger key keeps a key; all else is as in the rows."""
    numbers = people(*table)
    holders, holds = defaultdict(set), defaultdict(set)
    for number, value in zip(numbers, table, strict=True):
        for column, key in value.items():
            kind = column.split("_")[1]
            holders[kind, key].add(number)
            holds[number].add(kind)
    expected = set()
    for (kind, key), several in holders.items():
        stronger = {"linkedin", "member", "email", "mailbox"} if kind == "name" else {"linkedin"}
        weak = [number for number in several if not holds[number] & stronger]
        if len(several) == 1 or len(weak) == 1:
            expected.add(((list(several) if len(several) == 1 else weak)[0], kind, key))
    found = keys_of(*table)
    assert set(found) == expected
    assert len(found) == len({key[1:] for key in found})
    assert [key[:2] for key in found] == sorted(
        (key[:2] for key in found), key=lambda key: (key[0], KEY_KINDS.index(key[1]))
    )


@given(tables)
def test_everybody_is_described_once(table):
    """One row per person in order, whose numbers of rows add up, each with something that can be sent."""
    table = [row(**{k[4:].removesuffix("_0"): v for k, v in value.items()}) for value in table]
    for value in table:
        if value["key_name"]:
            value |= dict(zip(("first_name", "company"), value["key_name"].split("|"), strict=True))
            value["last_name"] = "Doe"
    identified = rows(*table)
    person = group_people(identified)
    described = describe_people(identified, person)
    assert described.schema == PEOPLE
    assert described["person"].to_list() == list(range(described.height))
    assert described["rows"].to_list() == [person.eq(n).sum() for n in range(described.height)]
    sendable = pl.any_horizontal(pl.col("email", "linkedin_url", "first_name").is_not_null())
    assert described.select(sendable.all()).item()


# --- hashed keys -----------------------------------------------------------------------------------------


def hashed(identified: pl.DataFrame) -> tuple[pl.DataFrame, dict[int, str]]:
    """The same rows with a number in the place of each key, and what the numbers stand for."""
    texts = pl.concat([identified[name] for name in KEYS]).drop_nulls().unique().sort()
    counted = pl.int_range(len(texts), dtype=pl.UInt64)
    # half of them differ in their lowest bits only, which hashes seldom do
    numbers = pl.select(pl.when(counted % 2 == 0).then(counted).otherwise(counted.hash())).to_series()
    keys = identified.with_columns(pl.col(name).replace_strict(texts, numbers) for name in KEYS)
    return keys.cast(dict.fromkeys(KEYS, pl.UInt64)), dict(zip(numbers, texts, strict=True))


@given(tables)
def test_hashed_keys_say_the_same(table):
    """Rows with hashes in the place of their keys are the same people, found by the same keys in order."""
    identified = rows(*table)
    numbers, texts = hashed(identified)
    person = group_people(numbers)
    assert person.equals(group_people(identified))
    found = person_keys(numbers, person)
    assert found.schema == {**PERSON_KEYS, "key": pl.UInt64}
    named = [(number, kind, texts[value]) for number, kind, value in found.rows()]
    assert named == person_keys(identified, person).rows()


@given(tables, st.booleans())
def test_every_key_is_where_it_is_said_to_be(table, as_hashes):
    """The cell named for a key holds it, and no earlier one does, row by row."""
    identified = hashed(rows(*table))[0] if as_hashes else rows(*table)
    person = group_people(identified)
    cells = person_key_cells(identified, person)
    assert dict(cells.schema) == {
        "person": pl.UInt32,
        "kind": KEY_KIND,
        "column": pl.Enum(KEYS),
        "row": pl.UInt32,
    }
    values = [identified.item(row, column) for column, row in cells.select("column", "row").rows()]
    keys = person_keys(identified, person)
    assert keys.rows() == [(*cell[:2], value) for cell, value in zip(cells.rows(), values, strict=True)]
    firsts = {}
    for row in reversed(range(identified.height)):
        for column in reversed(KEYS):
            firsts[column.split("_")[1], identified.item(row, column)] = (column, row)
    assert cells.select("column", "row").rows() == [firsts[key[1:]] for key in keys.rows()]


def test_digests_are_keys_too():
    """Numbers of 128 bits, of which some differ in their upper half only."""
    digests = pl.Series("key_email_0", [5, 5 + 2**64, 5, None, 2**127], dtype=pl.UInt128)
    rows_of = digests.to_frame()
    person = group_people(rows_of)
    assert person.to_list() == [0, 1, 0, None, 2]
    assert person_keys(rows_of, person).rows() == [
        (0, "email", 5),
        (1, "email", 5 + 2**64),
        (2, "email", 2**127),
    ]


def test_more_rows_than_can_be_numbered_are_refused():
    """Beyond a billion rows, person and cell no longer fit into one number."""
    assert _widths(2**30, 2**30, 4) == [2, 30, 2]
    with pytest.raises(InputError, match="in parts"):
        _widths(2**30 + 1, 2**30 + 1, 4)


def test_hashes_that_share_their_upper_bits_are_told_apart():
    """Whatever numbers stand for the keys, only equal ones are one key."""
    near = pl.DataFrame(
        {"key_linkedin": [0, 1, 2**64 - 1, 2**64 - 2, 1, 0]}, schema={"key_linkedin": pl.UInt64}
    )
    assert group_people(near).to_list() == [0, 1, 2, 3, 1, 0]
    assert person_keys(near, group_people(near))["key"].to_list() == [0, 1, 2**64 - 1, 2**64 - 2]


# --- rule by rule ----------------------------------------------------------------------------------------


def test_a_shared_address_makes_one_person():
    """Rule 1: one address in two rows, one person; in whichever column it stands."""
    assert people(row(email="a@x"), row(email="b@x"), row(email_1="a@x")) == [0, 1, 0]


def test_chains_are_followed():
    """Rule 1: A and C share nothing, but both share something with B."""
    assert people(row("ann"), row(email="a@x"), row("ann", email_1="a@x")) == [0, 0, 0]


def test_kinds_of_keys_are_not_mixed():
    """The same text as an address and as a profile connects nobody."""
    assert people(row("same"), row(email="same"), row(mailbox="same"), row(name="same")) == [0, 1, 2, 3]


def test_a_mailbox_with_a_name_is_strong():
    """Rule 2: a role mailbox identifies together with the name that comes with it."""
    assert people(row(mailbox="info@x|ann"), row(mailbox="info@x|bo"), row(mailbox="info@x|ann")) == [0, 1, 0]


def test_rows_without_keys_are_nobody():
    """A row that says nothing has no person and takes no number."""
    assert people(row(), row(email="a@x"), row()) == [None, 0, None]


def test_two_profiles_are_two_people():
    """Rule 3: a shared address does not make one person of two profiles."""
    assert people(row("ann", "us@x"), row("bo", "us@x"), row("ann")) == [0, 1, 0]


def test_a_row_between_two_profiles_stays_by_itself():
    """Rule 3: an address that leads to two profiles says of neither that it is this one."""
    assert people(row("ann", "us@x"), row("bo", "us@x"), row(email="us@x")) == [0, 1, 2]


def test_a_row_beside_one_of_two_profiles_joins_it():
    """Rule 3: in a split group, a row whose keys lead to one profile belongs to it."""
    table = [row("ann", "us@x"), row("bo", "us@x", email_1="bo@x"), row(email="bo@x")]
    assert people(*table) == [0, 1, 1]


def test_rows_between_profiles_are_judged_together():
    """Rule 3: rows without a profile that are connected among themselves share one fate."""
    table = [row("ann", "a@x"), row("bo", "b@x"), row(email="a@x", email_1="c@x")]
    assert people(*table, row(email="c@x", email_1="d@x")) == [0, 1, 0, 0]
    assert people(*table, row(email="c@x", email_1="b@x")) == [0, 1, 2, 2]


def test_a_name_joins_the_one_person_who_has_it():
    """Rule 4: only a name, and exactly one person of that name; wherever the row stands."""
    assert people(row(name="ann|x"), row(email="a@x", name="ann|x"), row(email="b@x")) == [0, 0, 1]


def test_a_name_that_two_people_have_joins_neither():
    """Rule 4: two people of that name; rows with nothing else are a third."""
    strong = [row(email="a@x", name="ann|x"), row(email="b@x", name="ann|x")]
    assert people(*strong, row(name="ann|x"), row(name="ann|x")) == [0, 1, 2, 2]


def test_a_name_never_connects_people_with_addresses():
    """Rule 4: name and company are no reason to make one person of two addresses."""
    assert people(row(email="a@x", name="ann|x"), row(email="b@x", name="ann|x")) == [0, 1]


def test_the_fullest_names_are_sent_as_a_pair():
    """Rule 5: an initial loses to a name even if the pair is longer, and pairs are not mixed."""
    table = [
        row(email="a@x", first_name="Alexandrina", last_name="T."),
        row(email="a@x", first_name="Alexandrina-Maria"),
        row(email="a@x", first_name="Alex", last_name="Taylor"),
    ]
    assert [(lead["first_name"], lead["last_name"]) for lead in leads_of(*table)] == [("Alex", "Taylor")]


def test_equally_full_names_are_taken_from_the_first_row():
    """Rule 5: ties go to the first row."""
    table = [row(email="a@x", first_name=name, last_name="Doe") for name in ("Jan", "Jon")]
    assert leads_of(*table)[0]["first_name"] == "Jan"


def test_information_is_gathered_from_all_rows():
    """Rule 5: profile, address, name and company may come from four different rows."""
    table = [
        row("ann"),
        row("ann", "a@x"),
        row(email="a@x", first_name="Ann", last_name="Lee"),
        row(email="a@x", company="X"),
    ]
    assert leads_of(*table) == [
        {
            "person": 0,
            "email": "a@x",
            "linkedin_url": "https://www.linkedin.com/in/ann",
            "first_name": "Ann",
            "last_name": "Lee",
            "company": "X",
            "rows": 4,
        }
    ]


def test_a_personal_address_is_sent_rather_than_a_role_mailbox():
    """Rule 5: also where the row with the role mailbox knows a personal address besides."""
    role_first = row("ann", mailbox="info@x|ann") | {"key_email_1": "a@x"}
    assert leads_of(role_first, row("ann", "ann@y"))[0]["email"] == "ann@y"
    assert leads_of(role_first)[0]["email"] == "info@x"


def test_an_address_of_two_people_is_not_sent_beside_a_profile():
    """Rule 3: the vendor might answer an ambiguous address with the other person."""
    table = [row("ann", "us@x"), row("bo", "us@x"), row(email="us@x"), row("bo", "bo@x")]
    assert [lead["email"] for lead in leads_of(*table)] == [None, "bo@x", "us@x"]


def test_an_address_of_two_people_is_not_sent_beside_a_member_id():
    """Rule 3: it is sent as the URL of a profile is."""
    table = [row("ann", "us@x"), row("bo", "us@x"), row(member="m", email="us@x")]
    assert [lead["email"] for lead in leads_of(*table)] == [None, None, None]


def test_a_profile_is_sent_rather_than_a_member_id():
    """Rule 5: the latter only where there is nothing better."""
    sent = leads_of(row(member="m", email="a@x"), row("ann", "a@x"), row(member="n", email="b@x"))
    assert [lead["linkedin_url"].split("/in/")[1] for lead in sent] == ["ann", "n"]


def test_an_ambiguous_address_finds_the_person_who_has_nothing_else():
    """Rule 3: dropped for those with a profile; kept by the one who could not be found without it."""
    split = [row("ann", "us@x"), row("bo", "us@x")]
    profiles = [(0, "linkedin", "ann"), (1, "linkedin", "bo")]
    assert keys_of(*split) == profiles
    assert keys_of(*split, row(email="us@x")) == [*profiles, (2, "email", "us@x")]


def test_an_ambiguous_name_finds_the_person_who_has_nothing_else():
    """Rule 4: a name of several people is kept only by the one who has just the name."""
    strong = [row(email="a@x", name="ann|x"), row(email="b@x", name="ann|x")]
    addresses = [(0, "email", "a@x"), (1, "email", "b@x")]
    assert keys_of(*strong) == addresses
    assert keys_of(*strong, row(name="ann|x")) == [*addresses, (2, "name", "ann|x")]


def test_keys_are_listed_in_order_of_strength_and_appearance():
    """By person, kind, row and column; each once."""
    addresses = [f"{letter}@x" for letter in "hbgcfdea"]
    table = [row(email=one, email_1=other, name="ann|x") for one, other in pairwise(addresses)]
    assert keys_of(*table, row("ann", "a@x"), row(email="b@x")) == [
        (0, "linkedin", "ann"),
        *((0, "email", address) for address in addresses),
        (0, "name", "ann|x"),
    ]


# --- shapes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [(), ("key_name",), ("key_email_0",), COLUMNS])
@pytest.mark.parametrize("height", [0, 2])
def test_columns_may_be_absent(columns, height):
    """Any set of key columns will do, on empty frames too, and the schemas never change."""
    identified = pl.DataFrame({"other": range(height)}).with_columns(
        pl.lit(None, pl.String).alias(name) for name in columns
    )
    person = group_people(identified)
    assert (person.name, person.dtype, person.to_list()) == ("person", pl.UInt32, [None] * height)
    described, keys = describe_people(identified, person), person_keys(identified, person)
    assert (described.schema, keys.schema) == (PEOPLE, {**PERSON_KEYS, "key": pl.String})
    assert (described.height, keys.height) == (0, 0)
    numbers = identified.with_columns(pl.col(*columns).cast(pl.UInt64) for _ in columns[:1])
    assert group_people(numbers).to_list() == [None] * height
    cells = person_key_cells(numbers, person)
    assert (cells.height, cells["column"].dtype) == (0, pl.Enum([name for name in KEYS if name in columns]))


def test_a_long_chain_in_any_order_is_one_person():
    """50,000 rows, each tied only to the next, in order and shuffled."""
    chain = pl.DataFrame({"n": range(50_000)}).select(
        key_email_0=pl.format("{}@x", "n"), key_email_1=pl.format("{}@x", pl.col("n") + 1)
    )
    for frame in (chain, chain.reverse(), chain.sample(fraction=1, shuffle=True, seed=1)):
        assert group_people(frame).n_unique() == 1


@given(st.lists(st.integers(0, 40) | st.integers(0, 2**64 - 1), max_size=40))
def test_equal_hashes_become_neighbours(hashes):
    """Also where the upper bits are equal and the lower ones are not, which is rare among real hashes."""
    array = np.array(hashes, dtype=np.uint64)
    cells, starts = _side_by_side(array)
    runs = [run.tolist() for run in np.split(cells, starts[1:]) if run.size]
    expected = (np.flatnonzero(array == value).tolist() for value in set(hashes))
    assert sorted(runs) == sorted(places for places in expected if len(places) > 1)


def test_many_people_at_once():
    """What holds for a handful holds for many: half of them twice, none connected otherwise."""
    number = np.random.default_rng(7).permutation(np.concatenate([np.arange(20_000), np.arange(10_000)]))
    identified = pl.DataFrame({"key_linkedin": pl.Series(number).cast(pl.String)})
    person = group_people(identified)
    assert person.n_unique() == 20_000
    assert pl.DataFrame({"person": person, "key": number}).unique().height == 20_000
    assert describe_people(identified, person)["rows"].value_counts().sort("rows").rows() == [
        (1, 10_000),
        (2, 10_000),
    ]
