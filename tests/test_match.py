"""Which lead a result belongs to: by what it echoes, never by where it stands."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buena_pipeline import match as matching
from buena_pipeline.match import match_items
from buena_pipeline.wire import WIRE_NAMES, Answer, Item, Lead, encode_lead, interpret

JANE: Lead = {
    "email": "jane.doe@acme.example",
    "linkedin_url": "https://linkedin.com/in/jane-doe",
    "first_name": "Jane",
    "last_name": "Doe",
    "company": "Acme Inc",
}
OMAR: Lead = {
    "email": "omar.ali@acme.example",
    "first_name": "Omar",
    "last_name": "Ali",
    "company": "Acme Inc",
}
LI: Lead = {"linkedin_url": "https://linkedin.com/in/li-wei", "first_name": "Li"}
ANA: Lead = {"first_name": "Ana", "last_name": "Gómez", "company": "Globex S.A."}
LEADS = [JANE, OMAR, LI, ANA]


def echo(given: Any, *, found: bool = True) -> Item:
    """An item with this echoed input."""
    return Item(found, given, "{}")


def match(leads: list[Lead], *inputs: Any) -> list[int | None]:
    """The leads that found items with these inputs belong to."""
    return match_items(leads, [echo(given) for given in inputs])


# --- what is the same lead -------------------------------------------------------------------------------


def test_exact_echoes_in_any_order() -> None:
    """An echo that equals what was sent decides, wherever it stands."""
    assert match(LEADS, *(encode_lead(LEADS[index]) for index in (3, 1, 0, 2))) == [3, 1, 0, 2]


@given(data=st.data())
def test_what_is_echoed_to_the_letter_is_matched_alike_without_normalising(data: st.DataObject) -> None:
    """The short way is taken only where it comes to the same as the long one."""
    values = st.sampled_from([None, "", "a@x.example", "b@x.example"])
    lead = st.fixed_dictionaries({"email": values, "first_name": values, "company": values})
    leads = data.draw(st.lists(lead, max_size=4))
    echoes = st.sampled_from([encode_lead(lead) for lead in leads] or [{}]) | st.fixed_dictionaries(
        {"email": values, "first_name": values}, optional={"firstName": values, "tags": st.just([1])}
    )
    items = [echo(given, found=data.draw(st.booleans())) for given in data.draw(st.lists(echoes, max_size=5))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "_match_verbatim", lambda *_: None)
        expected = match_items(leads, items)
    assert match_items(leads, items) == expected


def test_leads_that_differ_in_nothing_that_is_sent_are_told_apart_by_nobody() -> None:
    """An empty text is no more than none."""
    leads: list[Lead] = [{"email": "a@x.example", "company": None}, {"email": "a@x.example", "company": ""}]
    assert match(leads, {"email": "a@x.example"}) == [None]


@pytest.mark.parametrize(
    ("given", "index"),
    [
        ({"email": "JANE.DOE@Acme.Example"}, 0),
        ({"email": " jane.doe+newsletter@acme.example "}, 0),
        ({"email": "Jane Doe <jane.doe@acme.example>"}, 0),
        ({"linkedinUrl": "http://www.linkedin.com/in/Jane-Doe/?trk=x"}, 0),
        ({"firstName": "JANE", "lastName": "doe", "company": "ACME"}, 0),
        ({"linkedinUrl": "https://de.linkedin.com/in/li-wei/details/experience"}, 2),
        ({"firstName": "Ana", "lastName": "Gomez", "company": "Globex"}, 3),
        ({"firstName": "Ana", "lastName": "Go\u0301mez", "company": "globex, s.a."}, 3),
    ],
)
def test_an_echo_written_differently(given: dict[str, str], index: int) -> None:
    """Case, accents, decoration and missing fields do not change who it is."""
    assert match(LEADS, given) == [index]


def test_an_echo_with_more_than_was_sent() -> None:
    """Fields that the vendor adds to the echo, known or unknown, do no harm."""
    given = encode_lead(LI) | {
        "email": "li@wei.example",
        "lastName": "Wei",
        "id": 7,
        "tags": ["a"],
        "company": None,
    }
    assert match(LEADS, given) == [2]


@pytest.mark.parametrize(
    "given", [{}, {"email": None}, {"email": 5}, {"email": ["a"]}, {"email": ""}, {"x": "y"}]
)
def test_an_echo_that_says_nothing(given: Any) -> None:
    """Without anything that identifies, an item is nobody's - also if it is the only one."""
    assert match([JANE], given) == [None]


@pytest.mark.parametrize(
    "given",
    [
        {"email": "stranger@nobody.example"},
        {"linkedinUrl": "https://linkedin.com/in/stranger"},
        {"linkedinUrl": "https://linkedin.com/company/acme"},
        {"firstName": "Jane", "lastName": "Doe", "company": "Initech"},
        {"firstName": "Jane", "lastName": "Doe"},
        {"company": "Acme Inc"},
    ],
)
def test_an_item_for_nobody(given: dict[str, str]) -> None:
    """A stranger, or a name without its company, is given to nobody rather than to a neighbour."""
    assert match(LEADS, given) == [None]


def test_the_profile_decides_before_the_address() -> None:
    """Where an echo mixes two leads, the stronger key wins."""
    given = {"linkedinUrl": "https://linkedin.com/in/li-wei/", "email": "omar.ali@acme.example"}
    assert match(LEADS, given) == [2]


def test_nothing_sent_or_nothing_answered() -> None:
    """Empty lists are no special case."""
    assert match_items([], []) == []
    assert match_items(LEADS, []) == []
    assert match([], encode_lead(JANE)) == [None]


# --- who gets it if several could ------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_enriched_wins_over_failed(order: tuple[int, int]) -> None:
    """Of one person in both lists the paid answer counts, whichever comes first."""
    items = [echo(encode_lead(JANE), found=False), echo({"email": "JANE.DOE@acme.example"}, found=True)]
    matched = match_items([JANE], [items[index] for index in order])
    assert matched == [None if index == 0 else 0 for index in order]


def test_a_duplicate_item_is_nobodys() -> None:
    """A lead takes one item, the first; the second is left over rather than given to somebody else."""
    assert match(LEADS, encode_lead(OMAR), {"email": "Omar.Ali@acme.example"}, encode_lead(OMAR)) == [
        1,
        None,
        None,
    ]


def test_an_exact_echo_wins_over_an_inexact_one() -> None:
    """Whoever echoes exactly what was sent is the lead, also behind somebody who only resembles it."""
    lead: Lead = {"email": "jane@acme.example", "first_name": "Jane"}
    assert match([lead], {"email": "JANE@acme.example", "firstName": "Janet"}, encode_lead(lead)) == [None, 0]


def test_leads_that_cannot_be_told_apart() -> None:
    """The same lead sent twice is ambiguous, so its items are nobody's; others are not touched by it."""
    assert match([JANE, JANE, OMAR], encode_lead(JANE), encode_lead(JANE), encode_lead(OMAR)) == [
        None,
        None,
        2,
    ]


def test_an_ambiguous_name_points_to_nobody() -> None:
    """Two people of one name and company are told apart by their addresses or not at all."""
    twins: list[Lead] = [
        {"email": f"j{index}@acme.example", "first_name": "Jo", "last_name": "Roe", "company": "Acme"}
        for index in range(2)
    ]
    name_only = {"firstName": "JO", "lastName": "Roe", "company": "Acme"}
    assert match(twins, name_only, {**name_only, "email": "J1@acme.example"}) == [None, 1]


ROLE: list[Lead] = [
    {"email": "info@acme.example", "first_name": "Jane", "last_name": "Doe"},
    {"email": "info@acme.example", "first_name": "Omar", "last_name": "Ali"},
]


def test_a_role_mailbox_shared_by_two_leads() -> None:
    """Two people behind one mailbox are told apart by the rest of the echo, never by the address alone."""
    exact = [encode_lead(lead) for lead in reversed(ROLE)]
    assert match(ROLE, *exact) == [1, 0]
    assert match(ROLE, {"email": "info@acme.example"}) == [None]


def test_a_role_mailbox_written_differently() -> None:
    """Also where the echo changes case or adds a field, mailbox and name together say who it is."""
    given = [
        {"email": "Info@acme.example", "firstName": "Omar", "lastName": "ALI"},
        {"email": "info@acme.example", "firstName": "Jane", "lastName": "Doe", "company": "Acme"},
    ]
    assert match(ROLE, *given) == [1, 0]


def test_a_role_mailbox_with_names_and_company() -> None:
    """With a company the name decides where the address cannot."""
    leads: list[Lead] = [{**lead, "company": "Acme"} for lead in ROLE]
    given = {"email": "INFO@acme.example", "firstName": "omar", "lastName": "ali", "company": "ACME Inc"}
    assert match(leads, given) == [1]


# --- what the vendor may write ---------------------------------------------------------------------------


def test_an_echo_in_snake_case() -> None:
    """The vendor's machine-readable spec says snake_case; an echo that follows it is understood."""
    assert match(LEADS, {"linkedin_url": LI["linkedin_url"], "first_name": "Li"}) == [2]


def test_an_echo_with_a_number_where_text_was_sent() -> None:
    """A company whose name is a number may come back as one."""
    lead: Lead = {"first_name": "Jane", "last_name": "Doe", "company": "37"}
    assert match([lead], {"firstName": "Jane", "lastName": "Doe", "company": 37}) == [0]


def test_an_echo_with_half_an_emoji() -> None:
    """A broken character in one echo keeps neither it nor the others from finding their leads."""
    body = r"""{"data": {"enriched": [
        {"input": {"linkedinUrl": "https://linkedin.com/in/li-wei", "firstName": "Li", "lastName": "\ud83d"}},
        {"input": {"email": "JANE.DOE@acme.example"}}
    ]}}"""
    answer = interpret(200, {}, body.encode(), now=datetime(2024, 1, 20, tzinfo=UTC))
    assert isinstance(answer, Answer)
    assert match_items(LEADS, answer.items) == [2, 0]


# --- properties ------------------------------------------------------------------------------------------

NUMBERS = st.lists(st.integers(0, 10_000), min_size=1, max_size=12, unique=True)


def person(number: int) -> Lead:
    """One of many people who have nothing in common; which identifiers they have differs as well."""
    whole: Lead = {
        "email": f"person{number}@firm{number}.example",
        "linkedin_url": f"https://linkedin.com/in/person-{number}",
        "first_name": f"First{number}",
        "last_name": f"Last{number}",
        "company": f"Firm {number}",
    }
    kept = [("email",), ("linkedin_url",), ("first_name", "last_name", "company"), tuple(whole)][number % 4]
    return {name: whole[name] for name in kept}


@st.composite
def echoes_of(draw: st.DrawFn, lead: Lead) -> dict[str, Any]:
    """The echo of a lead as a careless vendor might write it; still enough to know it by."""
    sent: dict[str, Any] = dict(encode_lead(lead))
    if len(sent) == len(WIRE_NAMES):
        for name in draw(st.sets(st.sampled_from(["email", "linkedinUrl", "company"]), max_size=2)):
            sent[name] = draw(st.sampled_from([None, ""]))
    for name, value in sent.items():
        if value and draw(st.booleans()):
            sent[name] = draw(st.sampled_from([value.upper(), f" {value} ", value.capitalize()]))
    extra = st.dictionaries(st.sampled_from(["id", "source", "x"]), st.integers() | st.none())
    items = list((sent | draw(extra)).items())
    return dict(draw(st.permutations(items)))


@settings(max_examples=30)
@given(data=st.data(), numbers=NUMBERS)
def test_the_order_of_an_answer_does_not_matter(data: st.DataObject, numbers: list[int]) -> None:
    """However an answer is ordered, rewritten, split into two lists or cut, everybody gets their own."""
    leads = [person(number) for number in numbers]
    order = data.draw(st.permutations(range(len(leads))), label="order")
    order = order[: data.draw(st.integers(0, len(leads)), label="answered")]
    items = [echo(data.draw(echoes_of(leads[index])), found=data.draw(st.booleans())) for index in order]
    assert match_items(leads, items) == order


@settings(max_examples=30)
@given(
    leads=st.lists(st.integers(0, 12).map(person), max_size=12),
    inputs=st.lists(
        st.tuples(st.integers(0, 12).flatmap(lambda n: echoes_of(person(n))), st.booleans()), max_size=12
    ),
)
def test_nobody_takes_two_items(leads: list[Lead], inputs: list[tuple[dict[str, Any], bool]]) -> None:
    """With duplicates on both sides still one entry per item, and each lead at most once."""
    items = [echo(given, found=found) for given, found in inputs]
    matched = match_items(leads, items)
    taken = [index for index in matched if index is not None]
    assert len(matched) == len(items)
    assert len(set(taken)) == len(taken)
    assert set(taken) <= set(range(len(leads)))


@settings(max_examples=30)
@given(
    inputs=st.lists(
        st.dictionaries(st.sampled_from(list(WIRE_NAMES.values())), st.text() | st.none() | st.integers()),
        max_size=5,
    )
)
def test_matching_never_raises(inputs: list[dict[str, Any]]) -> None:
    """Whatever text is echoed, nobody's item is given away and nothing raises."""
    assert match(LEADS, *inputs) == [None] * len(inputs)
