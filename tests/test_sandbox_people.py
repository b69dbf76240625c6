"""The people of the sandbox: who is who, what is invented, and what is remembered."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buena_pipeline.sandbox.dice import Dice
from buena_pipeline.sandbox.directory import Directory, answer
from buena_pipeline.sandbox.identity import Keys, keys_of, profile_slug
from buena_pipeline.sandbox.people import BLOCK_FIELDS, cut_to_blocks, invent

ALL_BLOCKS = tuple(BLOCK_FIELDS)
MODERATE = settings(max_examples=100, deadline=None)

any_text = st.text(st.characters(), max_size=30)
any_lead = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("email", "linkedinUrl", "firstName", "lastName", "company"), any_text)
)


def crowd(number: int, **arguments: Any) -> list[dict[str, Any]]:
    """What a fresh directory answers about so many people, all blocks."""
    directory = Directory(**arguments)
    leads = [{"email": f"person{index}@firm{index % 40}.com"} for index in range(number)]
    return [answer(directory.find(lead), lead, ALL_BLOCKS) for lead in leads]


# --- who a lead is ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("email", "key"),
    [
        ("Jane.Doe+fair@Acme.com", "email:jane.doe@acme.com"),
        ("J.a.n.e@googlemail.com", "email:jane@gmail.com"),
        ("info@acme.com", "email:info@acme.com"),
        ("n/a", None),
        ("@acme.com", None),
        ("jane@", None),
    ],
)
def test_email_key(email: str, key: str | None) -> None:
    """One mailbox has one key, however its address is written; what is no address has none."""
    assert keys_of({"email": email}).email == key


def test_role_mailbox_needs_the_name() -> None:
    """Two people behind one role mailbox are two people."""
    jane, john = (
        keys_of({"email": "info@acme.com", "firstName": name, "lastName": "Doe"}) for name in ("Jane", "John")
    )
    assert jane.email != john.email


@pytest.mark.parametrize(
    ("url", "slug"),
    [
        ("https://www.linkedin.com/in/jane-doe/", "jane-doe"),
        ("http://de.linkedin.com/in/jane-doe/details/experience?x=1#top", "jane-doe"),
        ("linkedin.com/mwlite/in/jane-doe", "jane-doe"),
        ("https://linkedin.com/in/z%C3%BCrich", "zürich"),
        ("https://linkedin.com/company/acme", None),
        ("https://linkedin.com/in/", None),
        ("https://evil.com/linkedin.com/in/jane", None),
        ("https://notlinkedin.com/in/jane", None),
        (None, None),
    ],
)
def test_profile_slug(url: object, slug: str | None) -> None:
    """Every way to write a profile URL gives its slug; any other address gives none."""
    assert profile_slug(url) == slug


def test_name_key_ignores_spelling() -> None:
    """Accents, case, punctuation and legal suffixes make no second person; another company does."""
    one = keys_of({"firstName": "Zoë", "lastName": "O'Neil", "company": "Acme, Inc."})
    two = keys_of({"firstName": "zoe", "lastName": "o neil", "company": "ACME"})
    other = keys_of({"firstName": "zoe", "lastName": "o neil", "company": "Zenith"})
    assert one.name == two.name != other.name
    assert keys_of({"firstName": "Zoë", "lastName": "O'Neil"}) == Keys()


@given(any_lead)
@MODERATE
def test_any_text_can_be_asked_for(lead: dict[str, str]) -> None:
    """No lead, however odd, makes the sandbox fall over: it has no key or it has an answer."""
    if keys_of(lead).given():
        item = answer(Directory(not_found=0.0).find(lead), lead, ALL_BLOCKS)
        assert item["input"] == lead


# --- what is invented ------------------------------------------------------------------------------------


def test_people_follow_from_seed_and_identity() -> None:
    """The same words give the same person, another seed another one."""
    lead = {"email": "jane.doe@acme.com"}
    jane = invent("email:jane.doe@acme.com", lead)
    assert jane == invent("email:jane.doe@acme.com", lead)
    assert jane != invent("email:jane.doe@acme.com", lead, seed=1)


@pytest.mark.parametrize(
    ("lead", "name", "company"),
    [
        ({"email": "jane.doe@tech-corp.co.uk"}, ("Jane", "Doe"), "Tech Corp"),
        ({"email": "jane.doe@gmail.com", "company": "Acme"}, ("Jane", "Doe"), "Acme"),
        ({"email": "x@acme.com", "firstName": "Zoë", "lastName": "Lang"}, ("Zoë", "Lang"), "Acme"),
        (
            {"linkedinUrl": "https://linkedin.com/in/jane-doe-1a2", "company": "Zenith"},
            ("Jane", "Doe"),
            "Zenith",
        ),
    ],
)
def test_what_the_lead_says_is_kept(lead: dict[str, str], name: tuple[str, str], company: str) -> None:
    """Names and company come from the lead, else out of its address or slug."""
    data = invent("any", lead).data
    assert ((data["firstName"], data["lastName"]), data["company"]) == (name, company)


def test_what_a_lead_says_does_not_change_the_rest() -> None:
    """With or without a name in the lead, the person has the same phone, title and skills."""
    bare = invent("email:jane@acme.com", {"email": "jane@acme.com"}).data
    named = invent(
        "email:jane@acme.com", {"email": "jane@acme.com", "firstName": "Jane", "lastName": "X"}
    ).data
    for field in ("phone", "title", "skills", "location", "experience"):
        assert bare.get(field) == named.get(field)


def test_gaps_are_realistic() -> None:
    """About as many values are unknown as announced, now null and now missing."""
    items = crowd(2_000)
    found = [item["enrichedData"] for item in items if "enrichedData" in item]

    def share(field: str) -> float:
        return sum(data.get(field) is None for data in found) / len(found)

    assert 1 - len(found) / len(items) == pytest.approx(0.08, abs=0.03)
    assert share("phone") == pytest.approx(0.35, abs=0.05)
    assert share("linkedinUrl") == pytest.approx(0.25, abs=0.05)
    for field in ("phone", "linkedinUrl", "bio", "skills", "location", "socialProfiles", "alternativeEmails"):
        assert {field in data for data in found if data.get(field) is None} == {True, False}


def test_the_odd_forms_of_real_answers_occur() -> None:
    """Unknown networks and fields, odd sizes, companies without facts - and numbers only as quirks."""
    found = [item["enrichedData"] for item in crowd(2_000, not_found=0.0)]
    companies = [data["companyInfo"] for data in found if data.get("companyInfo")]
    assert {company.get("size") for company in companies} & {
        "1-10",
        "5,001-10,000",
        "11 to 50",
        "10k+",
        "250",
    }
    assert {type(company.get("founded")) for company in companies} == {str, int, type(None)}
    assert {type(data.get("experience")) for data in found} == {str, int, type(None)}
    assert any("mastodon" in (data.get("socialProfiles") or {}) for data in found)
    assert any("seniority" in data for data in found)
    assert any(data.get("companyInfo", "missing") is None for data in found)
    plain = [item["enrichedData"] for item in crowd(500, not_found=0.0, quirks=False)]
    assert {type((data.get("companyInfo") or {}).get("founded")) for data in plain} == {str, type(None)}


def test_confidence_and_sources_are_in_range() -> None:
    """Confidence lies between 0.5 and 0.99, and somebody is always named as source."""
    items = crowd(300, not_found=0.0)
    assert all(0.5 <= item["confidence"] <= 0.99 for item in items)
    assert all(len(set(item["sources"])) == len(item["sources"]) >= 1 for item in items)


@given(st.sets(st.sampled_from(ALL_BLOCKS)))
@MODERATE
def test_blocks_not_asked_for_are_hidden(blocks: set[str]) -> None:
    """Fields of blocks asked for are whole, fields of the others null or missing, the rest untouched."""
    data = {field: "x" for fields in BLOCK_FIELDS.values() for field in fields} | {"email": "a@b.co"}
    shown = cut_to_blocks(data, blocks, identity="any")
    for block, fields in BLOCK_FIELDS.items():
        assert {shown.get(field) for field in fields} == ({"x"} if block in blocks else {None})
    assert shown["email"] == "a@b.co"


# --- what is remembered ----------------------------------------------------------------------------------


def test_every_identifier_of_an_answer_leads_back() -> None:
    """LinkedIn URL and alternative addresses of an answer stand for the same person, with the same answer."""
    directory = Directory(not_found=0.0)
    for index in range(50):
        lead = {"email": f"person{index}@acme.com"}
        person = directory.find(lead)
        first = answer(person, lead, ALL_BLOCKS)["enrichedData"]
        others = [{"email": address} for address in first.get("alternativeEmails") or ()]
        if first.get("linkedinUrl"):
            others.append({"linkedinUrl": first["linkedinUrl"].upper()})
        for other in others:
            assert directory.find(other) is person
            again = answer(person, other, ALL_BLOCKS)["enrichedData"]
            assert (again["email"], again["firstName"]) == (first["email"], first["firstName"])


def test_different_people_are_never_merged() -> None:
    """People of one name at one company, known by nothing but their profiles, share no identifier."""
    directory = Directory(not_found=0.0)
    slugs = [f"jane-doe-{index}" for index in range(300)]
    leads = [{"linkedinUrl": f"https://linkedin.com/in/{slug}", "company": "Acme"} for slug in slugs]
    found = [directory.find(lead) for lead in leads]
    addresses = [person.profile.data["email"] for person in found if person.profile]
    assert len({person.identity for person in found}) == len(set(addresses)) == 300


def test_two_profiles_behind_one_address_are_two_people() -> None:
    """Two leads that share an address and name different profiles are two people."""
    directory = Directory(not_found=0.0)
    jane = directory.find({"email": "office2@acme.com", "linkedinUrl": "https://linkedin.com/in/jane"})
    john = directory.find({"email": "office2@acme.com", "linkedinUrl": "https://linkedin.com/in/john"})
    assert jane.identity != john.identity
    assert directory.find({"linkedinUrl": "https://linkedin.com/in/john"}) is john


def test_a_name_finds_the_one_person_who_bears_it() -> None:
    """Name and company lead to the person known by them, and to nobody in particular if there are two."""
    name = {"firstName": "Jane", "lastName": "Doe", "company": "Acme"}
    directory = Directory(not_found=0.0)
    jane = directory.find({"email": "jane@acme.com", **name})
    assert directory.find(name) is jane
    directory.find({"email": "jane2@acme.com", **name})
    assert directory.find(name).identity == "name:jane doe@acme"
    assert directory.find(name) is directory.find(name)


@pytest.mark.parametrize("identifier", ["Jane@Acme.com", "jane-doe", "https://linkedin.com/in/jane-doe"])
def test_fixed_people_are_answered_as_given(identifier: str) -> None:
    """A fixed person is found by address or slug, keeps to what was given, and is cut to the blocks."""
    known = {"firstName": "Jane", "email": "jane@work.com", "phone": "1", "title": None}
    directory = Directory(not_found=1.0, people={identifier: known})
    lead = {"email": "jane@acme.com"} if "@" in identifier else {"linkedinUrl": "linkedin.com/in/jane-doe"}
    person = directory.find(lead | {"firstName": "J."})
    assert answer(person, lead, ALL_BLOCKS)["enrichedData"] == known
    assert answer(person, lead, ["contact"])["enrichedData"].get("firstName") is None
    assert directory.find({"email": "jane@work.com"}) is person


def test_somebody_can_be_fixed_as_not_found() -> None:
    """A fixed None is somebody the vendor does not know."""
    lead = {"email": "jane@acme.com"}
    person = Directory(not_found=0.0, people={"jane@acme.com": None}).find(lead)
    assert answer(person, lead, ALL_BLOCKS) == {"input": lead, "reason": "Person not found"}


# --- draws -----------------------------------------------------------------------------------------------


@given(st.lists(st.integers(), unique=True, max_size=8), st.integers())
@MODERATE
def test_shuffled_keeps_the_items_and_not_the_order(items: list[int], seed: int) -> None:
    """Nothing is lost, and two or more items never stay as they were."""
    shuffled = Dice(seed).shuffled(items)
    assert sorted(shuffled) == sorted(items)
    assert len(items) < 2 or shuffled != items


def test_draws_do_not_change_between_releases() -> None:
    """The draws of one seed are written down: a change would change everybody's recorded answers."""
    dice = Dice(0, "jane")
    assert [dice.number(1, 100) for _ in range(5)] == [62, 98, 39, 52, 71]
