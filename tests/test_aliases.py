"""What answers say about who somebody is: more keys, and people who turn out to be one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from buena_pipeline.aliases import ALIAS_KEYS, answer_keys, link_people

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_role_mailboxes_and_unusable_addresses_are_no_aliases() -> None:
    """``sales@`` is in the answers of many, and a broken address is in nobody's."""
    records = pl.DataFrame(
        {
            "person_id": ["p", "q"],
            "linkedin_url": ["https://www.linkedin.com/company/acme", None],
            "email": ["info@acme.example", "Q+x@Acme.example"],
            "alternative_emails": [
                ["sales@acme.example", "not an address"],
                ["q@acme.example", "q2@acme.example"],
            ],
        }
    )
    keys = answer_keys(records)
    assert keys.schema == ALIAS_KEYS
    assert keys.rows() == [("q", "email", "q@acme.example"), ("q", "email", "q2@acme.example")]


def test_a_member_id_is_no_profile() -> None:
    """An answer may hold one in the place of a profile."""
    url = "https://www.linkedin.com/in/ACoAAB1x2y3z"
    records = {"person_id": ["p"], "linkedin_url": [url], "email": [None], "alternative_emails": [[]]}
    schema = {"email": pl.String, "alternative_emails": pl.List(pl.String)}
    keys = answer_keys(pl.DataFrame(records, schema_overrides=schema))
    assert keys.rows() == [("p", "member", "acoaab1x2y3z")]


def test_no_records_give_no_keys() -> None:
    """The schema stays."""
    empty = pl.DataFrame(
        schema={
            "person_id": pl.String,
            "linkedin_url": pl.String,
            "email": pl.String,
            "alternative_emails": pl.List(pl.String),
        }
    )
    assert answer_keys(empty).schema == ALIAS_KEYS


PEOPLE = "abcdef"
SHARED = st.lists(st.tuples(st.integers(0, 4), st.sampled_from(PEOPLE)), unique=True, max_size=20)
PROFILES = st.fixed_dictionaries(
    {person: st.lists(st.sampled_from("xyz"), unique=True, max_size=2) for person in PEOPLE}
)


@given(SHARED, PROFILES)
def test_whoever_is_linked_shares_keys_and_no_contradiction(
    shared: list[tuple[int, str]], profiles: dict[str, list[str]]
) -> None:
    """Links lead to somebody older who is linked to nobody; a group holds no two strangers by profile."""
    frame = pl.DataFrame(
        {
            "key": [str(key) for key, _ in shared],
            "person_id": [person for _, person in shared],
            "known_since": [START + timedelta(days=PEOPLE.index(person)) for _, person in shared],
            "profiles": [profiles[person] for _, person in shared],
            "names": [[] for _ in shared],
        },
        schema={
            "key": pl.String,
            "person_id": pl.String,
            "known_since": pl.Datetime("us", "UTC"),
            "profiles": pl.List(pl.String),
            "names": pl.List(pl.String),
        },
    )
    links = dict(link_people(frame).rows())
    assert all(elder < younger and elder not in links for younger, elder in links.items())
    connected = {person: {person} for person in PEOPLE}
    for key in {key for key, _ in shared}:
        people = [person for number, person in shared if number == key]
        merged = set().union(*(connected[person] for person in people))
        for person in merged:
            connected[person] = merged
    assert all(elder in connected[younger] for younger, elder in links.items())
    groups: dict[str, set[str]] = {}
    for person in PEOPLE:
        groups.setdefault(links.get(person, person), set()).add(person)
    for group in groups.values():
        known = [set(profiles[person]) for person in group if profiles[person]]
        for one in known:
            reached = set(one)
            for _ in known:
                reached |= set().union(*(other for other in known if other & reached))
            assert set().union(*known) == reached


def test_the_order_of_the_rows_makes_no_difference() -> None:
    """Everybody comes to the same links."""
    frame = pl.DataFrame(
        {
            "key": ["1", "1", "2", "2"],
            "person_id": ["a", "b", "b", "c"],
            "known_since": [START, START, START, START],
            "profiles": [["x"], [], [], ["x"]],
            "names": [[], [], [], []],
        },
        schema_overrides={"profiles": pl.List(pl.String), "names": pl.List(pl.String)},
    )
    assert (
        set(link_people(frame).rows()) == set(link_people(frame.reverse()).rows()) == {("b", "a"), ("c", "a")}
    )
