"""What the narrow queries say of one lead is what the way of a table says of it, whatever the store holds."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from buena_pipeline import Enricher, EnrichmentOptions, EnrichmentStore
from buena_pipeline.columns import LEAD_COLUMNS
from buena_pipeline.identity import identify
from buena_pipeline.one_lead import SingleLeads, lead_keys
from buena_pipeline.schema import ANSWER_ROWS, BLOCK_OF, BLOCKS, ENRICHED, LEAD_FIELDS, REQUEST_ROWS
from buena_pipeline.tables import as_lead_table, lead_fields
from buena_pipeline.terms import Terms
from buena_pipeline.uuids import as_number, as_text
from tests.keys import key_of

NOW = datetime.now(UTC).replace(microsecond=123_456)

Lead = dict[str, str | None]


class AskedToBuyError(Exception):
    """The lead would be bought, waited for or deferred: what a run decides."""


def refuse(_: pl.DataFrame) -> pl.DataFrame:
    """Stands for the way of a table, which this here is compared with."""
    raise AskedToBuyError


EMAILS = [
    "a@acme.example",
    "A+x@acme.example",
    "b@acme.example",
    "info@acme.example",
    "a@acme.example; c@x.example",
]
PROFILES = [
    *("https://linkedin.com/in/jane", "https://www.linkedin.com/in/jo/"),
    *("https://linkedin.com/in/ACoAAB1", "https://linkedin.com/in/ACwAAB2"),
]
NAMES = [("Jane", "Doe", "Acme Inc."), ("Jo", "Doe", "Acme Inc."), ("Jo", None, None)]


def invented_lead(dice: Random) -> Lead:
    """A lead that somebody can be identified by."""
    lead = dict.fromkeys(LEAD_FIELDS) | {
        "email": dice.choice([None, *EMAILS]),
        "linkedin_url": dice.choice([None, None, *PROFILES]),
        **dict(zip(("first_name", "last_name", "company"), dice.choice([(None,) * 3, *NAMES]), strict=True)),
    }
    return lead if keys_of(lead) else lead | {"email": EMAILS[0]}


def keys_of(lead: Lead) -> list[tuple[str, str]]:
    """Kind and value of the keys of a lead, as ``identify`` gives them."""
    row = identify(as_lead_table(lead), LEAD_COLUMNS).row(0, named=True)
    keys = [(name.removeprefix("key_"), value) for name, value in row.items() if name.startswith("key_")]
    return [(name.split("_")[0], value) for name, value in keys if value is not None]


def invented_store(dice: Random, folder: str) -> EnrichmentStore:
    """A store of a few people who share keys, were asked for more than once, or are one with each other."""
    store = EnrichmentStore(Path(folder) / "buena.duckdb")
    holders = [invented_lead(dice) for _ in range(dice.randint(1, 5))]
    # mostly the id of their strongest key, as that of everybody who was bought
    spoken_for = [dice.choice([holder, holder, holder, holders[0]]) for holder in holders]
    ids = [keys[0].id for keys in lead_keys([lead_fields(lead) for lead in spoken_for])]
    # as older releases had it
    older = {"member": "linkedin"} if dice.random() < 0.2 else {}
    keys = [
        {"person_id": person, "kind": older.get(kind, kind), "key": str(UUID(int=key_of(kind, value)))}
        for person, holder in zip(ids, holders, strict=True)
        for kind, value in keys_of(holder)
    ]
    answers = [invented_answer(dice, person) for person in ids for _ in range(dice.choice([0, 1, 1, 2, 3]))]
    requests = [{"request_id": answer["request_id"], "state": "answered"} for answer in answers]
    store.commit(
        new_request=pl.DataFrame(requests, schema=REQUEST_ROWS),
        new_answer=pl.DataFrame(answers, schema=ANSWER_ROWS),
    )
    with store._database.transaction() as connection:
        # not as by a run, which would link people who share a key
        connection.register("new_identity", pl.DataFrame(keys).unique().to_arrow())
        connection.execute(
            "insert into identity by name select key::uuid as key, kind, person_id::uuid as person_id"
            " from new_identity"
        )
        first, *others = sorted(set(ids))
        for person in others:
            if dice.random() < 0.2:
                connection.execute("insert into link values (?, ?, now())", [person, first])
    if dice.random() < 0.25:
        store.suppress(dice.choice([invented_lead(dice), *holders]))
    return store


def invented_answer(dice: Random, person_id: str) -> dict[str, Any]:
    """One answer about somebody, fresh or old, with or without what was asked for."""
    found = dice.random() < 0.7
    experience = dice.choice([None, "12 years in sales"])
    said = {
        "title": dice.choice([None, "CTO", "CEO"]),
        "phone": dice.choice([None, "+1 555 0100"]),
        "confidence": dice.choice([None, 0.75]),
        "skills": dice.choice([None, [], ["python", "sql"]]),
        "experience": experience,
        "experience_years": None if experience is None else dice.choice([None, 12]),
        "company_founded": dice.choice([None, 1999]),
        "social_profiles": dice.choice([None, [{"network": "github", "url": "https://github.com/jane"}]]),
    }
    blocks = dice.sample(BLOCKS, dice.choice([2, 3, 4, 4, 4]))
    return {
        "person_id": person_id,
        "request_id": str(UUID(int=dice.getrandbits(128))),
        "answered_at": NOW - timedelta(seconds=dice.randrange(10_000_000)),
        "found": found,
        "reason": None if found else dice.choice([None, "not found", "no consent"]),
        **{f"has_{block}": block in blocks for block in BLOCKS},
        **(said if found else {}),
    }


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32))
def test_the_narrow_way_says_what_the_way_of_a_table_says(seed: int) -> None:
    """Who it is, what is decided and why, and every value of the record."""
    dice = Random(seed)
    options = EnrichmentOptions(social=dice.random() < 0.5)
    with tempfile.TemporaryDirectory() as folder:
        store = invented_store(dice, folder)
        single = SingleLeads(store, options=options, terms=Terms.of(), run=refuse)
        enricher = Enricher(store=store, options=options)
        asked = [invented_lead(dice) for _ in range(4)]
        keys = lead_keys([lead_fields(lead) for lead in asked])
        assert store.read_leads(keys)[0] == [store.read_leads([of_lead])[0][0] for of_lead in keys]
        for lead in asked:
            table = as_lead_table(lead)
            known = single.lookup(lead)
            row = enriched_by(single, lead)
            decided = enricher.plan(table).decisions.row(0, named=True)
            record = record_of(store, decided["person_id"], options)
            if decided["decision"] == "suppressed" or record is None:
                assert known is None
            else:
                assert known == record | {"status": "cached", "error": None}
                assert list(known) == ENRICHED.names()
            served = decided["decision"] == "suppressed" or (
                decided["decision"] in {"cached", "failed"}
                and knows_all_keys(store, lead, decided["person_id"])
            )
            if not served:
                assert row is None
                continue
            nobody = dict.fromkeys(ENRICHED) | {"person_id": decided["person_id"]}
            said = {"status": decided["decision"], "error": decided["reason"]}
            assert row == (nobody if record is None or said["status"] == "suppressed" else record) | said


def knows_all_keys(store: EnrichmentStore, lead: Lead, person_id: str) -> bool:
    """Whether a run would have nothing to learn of a lead."""
    (keys,) = lead_keys([lead_fields(lead)])
    query = """
        select count(distinct key) from person_key
        where person_id = ?::uuid and key::varchar in (select unnest(?))
    """
    return bool(store.sql(query, [person_id, [key.id for key in keys]]).item() == len(keys))


def enriched_by(single: SingleLeads, lead: Lead) -> dict[str, Any] | None:
    """What a lead is told; None if that takes a run."""
    try:
        return single.enrich(lead)
    except AskedToBuyError:
        return None


def record_of(store: EnrichmentStore, person_id: str, options: EnrichmentOptions) -> dict[str, Any] | None:
    """The record of a person in the way of a table."""
    person = as_number(pl.Series("person_id", [person_id]))
    records = store.fetch(person.to_frame()).drop("slot")
    if records.is_empty():
        return None
    row = records.with_columns(as_text(records["person_id"])).row(0, named=True)
    unwanted = [name for name, block in BLOCK_OF.items() if block not in options.blocks]
    return row | dict.fromkeys(unwanted)
