"""LinkedIn's internal ids, as Sales Navigator exports them: they find a person and tell nobody apart."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pytest

from buena_pipeline import BuenaClient, Enricher, EnrichmentStore, Sandbox, plan_frame
from buena_pipeline.columns import LeadColumns
from buena_pipeline.identity import identify
from buena_pipeline.store.subjects import subject_keys

MAIL, PROFILE = "jane@acme.example", "https://www.linkedin.com/in/jane-doe"
MEMBER = "https://www.linkedin.com/in/ACoAAB1x2y3zKq0RsTuVwXyZaBcDeFgHiJkLmNo"
SALES = "https://www.linkedin.com/in/ACwAAB1x2y3z4q0RsTuVwXyZaBcDeFgHiJkLmNo"
SLUG = MEMBER.rsplit("/", 1)[1].lower()

JANE = {
    "firstName": "Jane",
    "lastName": "Doe",
    "email": MAIL,
    "alternativeEmails": ["jd@home.example"],
    "linkedinUrl": PROFILE,
}
WAYS = {"mail": {"email": MAIL}, "profile": {"linkedin_url": PROFILE}, "member": {"linkedin_url": MEMBER}}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A vendor who knows Jane by her address and by one of her member ids, and says her profile."""
    with Sandbox(limits=None, people={MAIL: JANE, MEMBER: JANE}) as running:
        yield running


@pytest.fixture
def enricher(sandbox: Sandbox, store: EnrichmentStore) -> Iterator[Enricher]:
    """An enricher with an empty store."""
    with BuenaClient(sandbox.api_key, sandbox.url, backoff=0.01) as client:
        yield Enricher(client, store)


def table(*rows: tuple[str | None, str | None]) -> pl.DataFrame:
    """Rows of an address and a URL."""
    return pl.DataFrame(rows, schema=dict.fromkeys(("email", "linkedin_url"), pl.String), orient="row")


def people(frame: pl.DataFrame, store: EnrichmentStore) -> list[int]:
    """The number of each row's person, in order of first appearance."""
    ids = plan_frame(frame, store=store).decisions["person_id"].to_list()
    return [list(dict.fromkeys(ids)).index(one) for one in ids]


# --- what is one -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        MEMBER,
        MEMBER.lower(),
        f"de.linkedin.com/in/{SLUG}/?trk=x",
        "in/ACwAAA12",
        "in/%41CoAAB1x2y3z",
        "in/ACoAAABcdefghijklmnopqrstuvwxyzabcdefg",
    ],
)
def test_a_member_id_is_a_key_of_its_own_kind(url: str) -> None:
    """However it is written; it is no profile's slug."""
    rows = identify(table((None, url), (None, "in/jane")), LeadColumns(("email",), "linkedin_url"))
    assert rows["key_linkedin"].to_list() == [None, "jane"]
    assert rows["key_member"].is_not_null().to_list() == [True, False]
    assert rows["linkedin_url"].is_not_null().all()


@pytest.mark.parametrize(
    "slug", ["acmaas", "acvaandering", "acsaad-md", "ac-aaron-1", "aacoaab1", "acme12", "acóaa1", "ac1aa1"]
)
def test_a_chosen_name_is_none(slug: str) -> None:
    """Also where somebody's initials are A. C."""
    rows = identify(table((None, f"in/{slug}")), LeadColumns(linkedin_url="linkedin_url"))
    assert (rows["key_linkedin"].item(), rows["key_member"].item()) == (slug, None)


# --- who it is -------------------------------------------------------------------------------------------


def test_a_member_id_contradicts_no_profile_and_no_other_member_id(store: EnrichmentStore) -> None:
    """Rows of one address; and rows of one member id."""
    rows = [(MAIL, PROFILE), (MAIL, MEMBER), (MAIL, SALES), (None, SALES), ("jd@home.example", SALES)]
    for order in (rows, rows[::-1], rows[2:] + rows[:2]):
        assert people(table(*order), store) == [0] * len(rows)


def test_two_profiles_stay_two_people_beside_a_member_id(store: EnrichmentStore) -> None:
    """Whose it is nobody knows: its row is neither."""
    rows = table((MAIL, "in/jane"), (MAIL, "in/bo"), (MAIL, MEMBER), (None, MEMBER))
    assert people(rows, store) == [0, 1, 2, 2]
    apart = table(("a@x.example", "in/jane"), ("a@x.example", MEMBER), ("b@x.example", MEMBER))
    both = pl.concat([apart, table(("b@x.example", "in/bo"))])
    assert people(apart, store) == [0, 0, 0]
    assert people(both, store) == [0, 1, 1, 2]


# --- what is paid ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", WAYS)
def test_whoever_comes_by_another_key_is_not_bought_again(
    sandbox: Sandbox, enricher: Enricher, first: str
) -> None:
    """Bought by one, then seen with the address and each of the others, then by each alone."""
    with_address = [{"email": MAIL} | lead for lead in WAYS.values()]
    for lead in (WAYS[first], *with_address, *WAYS.values()):
        assert enricher.run(pl.DataFrame([lead])).frame["buena_email"].item() == MAIL
        assert enricher.enrich_one(lead)["status"] == "cached"
        assert enricher.lookup(lead) is not None
        assert sandbox.credits_used == 1


@pytest.mark.parametrize("first", WAYS)
def test_a_form_pays_once_as_well(sandbox: Sandbox, enricher: Enricher, first: str) -> None:
    """The same with one lead at a time."""
    for lead in (WAYS[first], *({"email": MAIL} | lead for lead in WAYS.values()), *WAYS.values()):
        assert enricher.enrich_one(lead)["email"] == MAIL
    assert sandbox.credits_used == 1


def test_a_table_with_address_profile_and_member_id_costs_one_credit(
    sandbox: Sandbox, enricher: Enricher
) -> None:
    """They are one person, whichever row comes first."""
    frame = enricher.run(table((MAIL, MEMBER), (MAIL, PROFILE), (MAIL, None), (MAIL, SALES))).frame
    assert frame["buena_person_id"].n_unique() == sandbox.credits_used == 1


# --- who is meant ----------------------------------------------------------------------------------------


@pytest.fixture
def known(enricher: Enricher, store: EnrichmentStore) -> EnrichmentStore:
    """A store that has Jane by address, profile and member id."""
    enricher.run(table((MAIL, None)))
    enricher.run(table((MAIL, MEMBER)))
    return store


def test_people_are_forgotten_by_member_id(known: EnrichmentStore) -> None:
    """With all that was known of them."""
    assert subject_keys(MEMBER).rows() == [("member", SLUG)]
    assert known.forget(MEMBER) == 1
    assert known.sql("select count(*) from identity").item() == 0


@pytest.mark.parametrize("given", [MEMBER, MAIL])
def test_people_are_suppressed_by_member_id(known: EnrichmentStore, enricher: Enricher, given: str) -> None:
    """It is on the list under whichever key the person was named, and so are the others."""
    assert known.suppress(given) >= 3
    frame = enricher.run(table((MAIL, None), (None, PROFILE), (None, MEMBER))).frame
    assert frame["buena_status"].to_list() == ["suppressed"] * 3
    assert enricher.enrich_one({"linkedin_url": MEMBER})["status"] == "suppressed"
    known.unsuppress(given)
    assert enricher.enrich_one({"linkedin_url": MEMBER})["status"] == "cached"


def test_sql_finds_people_by_member_id(known: EnrichmentStore) -> None:
    """Whoever asks need not know what kind of URL it is."""
    query = f"select email from buena_profile('{MEMBER}')"
    assert known.sql(query).rows() == [(MAIL,)]
    key = f"select kind from known_key where key = buena_key('linkedin', '{SLUG}')"
    assert known.sql(key).rows() == [("member",)]


def test_an_older_store_calls_it_a_profile_and_finds_whom_it_has(
    known: EnrichmentStore, enricher: Enricher, sandbox: Sandbox
) -> None:
    """The key is the same, and its person is served, forgotten and suppressed by it."""
    with known._database.transaction() as connection:
        connection.execute("update identity set kind = 'linkedin' where kind = 'member'")
    frame = enricher.run(table((None, MEMBER), (MAIL, PROFILE), (MAIL, SALES))).frame
    assert frame["buena_status"].to_list() == ["cached"] * 3
    assert enricher.enrich_one({"linkedin_url": MEMBER})["status"] == "cached"
    assert sandbox.credits_used == 1
    assert known.forget(MEMBER) == 1
