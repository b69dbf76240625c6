"""The plan: who is served, who is bought, in which batches."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from buena_pipeline.plan import (
    DECISION,
    batches,
    count_requests,
    decide,
    limit_people,
    purchases,
    resolve_people,
)
from buena_pipeline.schema import BLOCKS, KNOWN, LEAD_FIELDS, OWN_ID, PEOPLE
from tests.keys import keys_of

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def known(*rows: dict[str, object]) -> pl.DataFrame:
    """Rows of the look-up, with what most of them have in common."""
    usual = {"own": False, "candidates": 1, "weak_only": False}
    return pl.DataFrame([usual | row for row in rows], schema=KNOWN)


def resolved(**facts: object) -> pl.DataFrame:
    """One person of the store, bought as told."""
    columns = {name: KNOWN[name] for name in KNOWN.names()[KNOWN.names().index("row") :]}
    row = {"person": 0, "person_id": 1, "suppressed": False, **dict.fromkeys(columns), **facts}
    return pl.DataFrame([row], schema={**OWN_ID, **columns})


def decision(wanted: tuple[str, ...], **facts: object) -> tuple[str, tuple[str, ...], bool, str | None]:
    """The decision on one person, with the blocks to buy by name."""
    row = decide(
        resolved(**facts), wanted=wanted, began=NOW, now=NOW, max_age=90 * DAY, retry_failed_after=30 * DAY
    ).row(0, named=True)
    blocks = tuple(block for bit, block in enumerate(BLOCKS) if row["blocks"] >> bit & 1)
    return row["decision"], blocks, row["stale"], row["error"]


def test_a_person_nobody_knows_is_bought_with_all_wanted_blocks() -> None:
    """Without any answer there is nothing to serve."""
    assert decision(("personal", "contact")) == ("buy", ("personal", "contact"), False, None)


def test_a_person_with_all_wanted_blocks_fresh_is_cached() -> None:
    """Blocks that were not asked for do not matter."""
    fact = decision(("company",), found_at=NOW - DAY, company_at=NOW - DAY)
    assert fact == ("cached", (), False, None)


def test_only_missing_and_stale_blocks_are_bought() -> None:
    """A fresh block is not bought again because another one is missing or old."""
    fact = decision(
        ("personal", "company", "contact"),
        found_at=NOW - DAY,
        personal_at=NOW - 91 * DAY,
        company_at=NOW - 90 * DAY,
    )
    assert fact == ("buy", ("personal", "contact"), True, None)


def test_a_not_found_is_remembered_for_its_time_and_says_so() -> None:
    """Within the time nobody pays again for the same nothing; after it the vendor is asked once more."""
    recent = decision(("company",), failed_at=NOW - DAY, company_failed_at=NOW - DAY, failed_reason="unknown")
    assert recent == ("failed", (), False, "unknown (asked on 2026-05-31, remembered)")
    old = decision(("company",), failed_at=NOW - 31 * DAY, company_failed_at=NOW - 31 * DAY)
    assert old[:2] == ("buy", ("company",))


def test_a_not_found_for_other_blocks_counts_as_long_as_the_person_was_never_found() -> None:
    """Who is unknown for one block is unknown for all."""
    assert decision(("social",), failed_at=NOW - DAY, company_failed_at=NOW - DAY)[0] == "failed"


def test_whom_a_request_of_unknown_outcome_asked_for_is_not_bought_again_silently() -> None:
    """Deferred with the reason, unless told to; what is known is served all the same."""
    pending = {"pending_since": NOW - DAY}
    status, blocks, _, error = decision(("company",), **pending)
    assert (status, blocks) == ("deferred", ())
    assert error == (
        "perhaps charged already by the request of 2026-05-31 00:00:00 UTC; retry_unknown=True buys again"
    )
    insisting = decide(
        resolved(**pending),
        wanted=("company",),
        began=NOW,
        now=NOW,
        max_age=None,
        retry_failed_after=None,
        retry_unknown=True,
    )
    assert insisting["decision"].item() == "buy"
    assert decision(("company",), found_at=NOW - DAY, company_at=NOW - DAY, **pending)[0] == "cached"


def test_a_block_that_failed_for_a_known_person_does_not_hide_the_others() -> None:
    """The row is served with what there is, and says what is missing."""
    status, blocks, _, error = decision(
        ("company", "social"),
        found_at=NOW - DAY,
        company_at=NOW - DAY,
        failed_at=NOW - DAY,
        social_failed_at=NOW - DAY,
    )
    assert (status, blocks) == ("cached", ())
    assert error is not None


def test_no_age_limit_serves_anything_and_remembers_for_ever() -> None:
    """None stands for any age."""
    ancient = resolved(found_at=NOW - 9999 * DAY, company_at=NOW - 9999 * DAY)
    row = decide(ancient, wanted=("company",), began=NOW, now=NOW, max_age=None, retry_failed_after=None)
    assert row["decision"].item() == "cached"


NEW, BY_EMAIL, BY_PROFILE, NAMESAKE = range(4)
"""Ids of people."""


def own(*ids: int) -> pl.DataFrame:
    """What the people of the table are called if they are new."""
    people = {"person": range(len(ids)), "person_id": ids, "suppressed": False}
    return pl.DataFrame(people, schema=OWN_ID)


def test_the_strongest_key_decides() -> None:
    """A LinkedIn profile outranks an e-mail address."""
    hits = known(
        {"person": 0, "kind": "email", "person_id": BY_EMAIL},
        {"person": 0, "kind": "linkedin", "person_id": BY_PROFILE},
    )
    found = resolve_people(own(NEW), hits, keys_of((0, "linkedin", "jd"), (0, "email", "j@x.example")))
    assert found["person_id"].to_list() == [BY_PROFILE]


def test_an_ambiguous_key_points_to_nobody_but_its_owner() -> None:
    """Two candidates are none, unless one of them got its id from this very key."""
    both = [
        {"person": 0, "kind": "email", "person_id": who, "candidates": 2} for who in (BY_EMAIL, BY_PROFILE)
    ]
    only = keys_of((0, "email", "j@x.example"))
    assert resolve_people(own(NEW), known(*both), only)["person_id"].to_list() == [NEW]
    both[1]["own"] = True
    assert resolve_people(own(NEW), known(*both), only)["person_id"].to_list() == [BY_PROFILE]


def test_a_name_decides_only_where_one_side_has_nothing_stronger() -> None:
    """Same name and company is no proof against two different addresses."""
    hit = {"person": 0, "kind": "name", "person_id": NAMESAKE}
    strong = keys_of((0, "email", "j@x.example"), (0, "name", "jane doe acme"))
    weak = keys_of((0, "name", "jane doe acme"))
    assert resolve_people(own(NEW), known(hit), strong)["person_id"].item() == NEW
    assert resolve_people(own(NEW), known(hit), weak)["person_id"].item() == NAMESAKE
    alone = known(hit | {"weak_only": True})
    assert resolve_people(own(NEW), alone, strong)["person_id"].item() == NAMESAKE


def decisions_of(masks: list[int], ids: list[str] | None = None) -> pl.DataFrame:
    """Decisions to buy these blocks for so many people."""
    return pl.DataFrame(
        {
            "person": range(len(masks)),
            "person_id": ids or [f"p{n}" for n in range(len(masks))],
            "decision": ["buy" if mask else "cached" for mask in masks],
            "blocks": masks,
            "stale": [False] * len(masks),
            "error": [None] * len(masks),
        },
        schema={
            "person": pl.UInt32,
            "person_id": pl.String,
            "decision": DECISION,
            "blocks": pl.UInt8,
            "stale": pl.Boolean,
            "error": pl.String,
        },
    )


def people_of(count: int) -> pl.DataFrame:
    """So many people, each with an address."""
    leads = {name: [f"{name}{n}" for n in range(count)] for name in LEAD_FIELDS}
    return pl.DataFrame({"person": range(count), **leads, "rows": [1] * count}, schema=PEOPLE)


@given(st.lists(st.integers(0, 15), max_size=230))
def test_batches_are_a_partition_of_at_most_50_with_one_set_of_blocks(masks: list[int]) -> None:
    """Everybody to be bought is in exactly one batch, and every batch asks for one set of blocks."""
    decided = limit_people(decisions_of(masks), priority=None, max_people=None)
    bought = purchases(decided, people_of(len(masks)))
    made = list(batches(bought))
    assert sorted(i for batch in made for i in batch.people["person_id"]) == sorted(
        f"p{n}" for n, mask in enumerate(masks) if mask
    )
    assert all(1 <= batch.people.height <= 50 for batch in made)
    asked = {i: batch.blocks for batch in made for i in batch.people["person_id"]}
    for number, mask in enumerate(masks):
        blocks = tuple(block for bit, block in enumerate(BLOCKS) if mask >> bit & 1)
        assert asked.get(f"p{number}", ()) == blocks
    assert len(made) == count_requests(bought)
    first = [int(batch.people["person_id"][0].removeprefix("p")) for batch in made]
    assert first == sorted(first)


def test_two_people_of_the_table_that_the_store_knows_as_one_are_bought_once() -> None:
    """What either of them says goes out, with the blocks that either of them lacks."""
    decided = limit_people(decisions_of([1, 2], ["same", "same"]), priority=None, max_people=None)
    people = people_of(2).with_columns(email=pl.Series([None, "email1"]))
    bought = purchases(decided, people)
    assert bought.select("person_id", "blocks", "email", "first_name").rows() == [
        ("same", 3, "email1", "first_name0")
    ]


def test_the_budget_buys_the_best_first_and_defers_the_rest() -> None:
    """The highest priority goes first; nobody knows the place of a null, so it comes last."""
    decided = limit_people(
        decisions_of([1, 1, 0, 1, 1]), priority=pl.Series([1.0, 9.0, 99.0, None, 5.0]), max_people=2
    )
    assert decided["decision"].to_list() == ["deferred", "buy", "cached", "deferred", "buy"]
    assert decided["error"].to_list()[0] == "the budget max_credits reaches no further"
    assert purchases(decided, people_of(5))["person_id"].to_list() == ["p1", "p4"]
