"""Stores that know everybody in a lead table, as a run over it would have left them, without buying anybody.

Requests, answers, raw bodies and keys go in by the same commit as those of a run, in the same order and fifty
people a request; only the vendor is left out, and many requests share a commit.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Final

import polars as pl

from bench import data
from buena_pipeline import EnrichmentStore
from buena_pipeline.aliases import answer_keys
from buena_pipeline.columns import find_columns
from buena_pipeline.identity import identify
from buena_pipeline.people import group_people, person_keys
from buena_pipeline.schema import ANSWER_ROWS, IDENTITY_ROWS, REQUEST_ROWS, RESPONSE_ROWS, RUN_ROWS
from buena_pipeline.settings import EnrichmentOptions
from buena_pipeline.store import digest_columns, digest_keys
from buena_pipeline.uuids import as_text
from buena_pipeline.wire import MAX_LEADS

_BODY: Final = '{"input":{},"enrichedData":{}}'
"""Raw bodies are not read by any measured piece; a short one keeps a store of millions small."""

_ACCOUNT: Final = "bench"


def build(path: Path, people: int, *, answers: Path) -> None:
    """Makes a store that knows so many people.

    Args:
        path: the file; must not be there yet.
        people: how many, beginning with the first of the table.
        answers: where the same answers are to be written as Parquet, for joins without a store.
    """
    store = EnrichmentStore(path)
    began = datetime.now(UTC) - timedelta(days=1)
    run_id = str(uuid.UUID(int=data.SEED))
    run = {"run_id": run_id, "happened_at": began, "rows": people}
    store.commit(new_run=pl.DataFrame([{**run, "state": "started"}], schema=RUN_ROWS))
    empty = EnrichmentStore(path.with_name(f"empty-{path.name}"))

    def prepared(start: int, stop: int) -> tuple[pl.DataFrame, dict[str, pl.DataFrame]]:
        known = data.answers(start, stop, at=began)
        ids, keys = known_people(data.first_rows(start, stop), empty)
        known = known.insert_column(1, ids)
        return known, _commits(known, keys, first_request=start // MAX_LEADS, run_id=run_id)

    def committed() -> Iterator[pl.DataFrame]:
        # the next part is made while one is written
        parts = data.parts(people)
        with ThreadPoolExecutor(1) as ahead:
            coming = ahead.submit(prepared, *next(parts))
            for part in chain(parts, [None]):
                known, frames = coming.result()
                if part is not None:
                    coming = ahead.submit(prepared, *part)
                store.commit(**frames)
                yield known

    data.write(answers, committed())
    store.commit(new_run=pl.DataFrame([{**run, "state": "finished"}], schema=RUN_ROWS))
    store.checkpoint()
    for leftover in path.parent.glob(f"empty-{path.name}*"):
        leftover.unlink() if leftover.is_file() else leftover.rmdir()


def known_people(rows: pl.DataFrame, empty: EnrichmentStore) -> tuple[pl.Series, pl.DataFrame]:
    """The ids that people get in a run, and the keys it writes when it asks for them.

    The only place that knows what a key in the store looks like: it asks the library, whose ids are those of
    a look-up in a store that knows nobody.

    Args:
        rows: one row of the lead table for each person.
        empty: a store that knows nobody.

    Returns:
        ``person_id`` in step with the rows; and a row per key, with ``person_id`` and what describes the key.
    """
    identified = identify(rows, find_columns(rows.schema))
    keys = digest_columns(identified)
    person = group_people(keys)
    if person.null_count() or person.n_unique() != rows.height:
        raise ValueError("the rows are not one person each")
    of_people = person_keys(keys, person)
    ids = as_text(empty.lookup(of_people).own_id["person_id"])
    return ids, of_people.with_columns(person_id=ids.gather(of_people["person"])).drop("person")


def _commits(
    known: pl.DataFrame, keys: pl.DataFrame, *, first_request: int, run_id: str
) -> dict[str, pl.DataFrame]:
    """What a run would have committed for these people, whose answers have come."""
    at = known["enriched_at"][0]
    requests = pl.DataFrame(
        {"request_id": [_request_id(first_request + nth) for nth in range(-(-known.height // MAX_LEADS))]}
    )
    asked = known.select("person_id", request_id=requests["request_id"].gather(_batch_of(known.height)))
    blocks = EnrichmentOptions().blocks
    sent = (
        asked.group_by("request_id", maintain_order=True)
        .agg(people="person_id")
        .with_columns(
            run_id=pl.lit(run_id),
            blocks=pl.lit(list(blocks)),
            lease_until=pl.lit(at + timedelta(minutes=8)),
            credits_reserved=pl.col("people").list.len().cast(pl.Float64),
            account=pl.lit(_ACCOUNT),
        )
    )
    used = sent.with_columns(credits_used="credits_reserved", credits_remaining=pl.lit(1e9))
    changes = pl.concat(
        [
            _filled(sent.with_columns(state=pl.lit("in flight"), happened_at=pl.lit(at)), REQUEST_ROWS),
            _filled(used.with_columns(state=pl.lit("answered"), happened_at=pl.lit(at)), REQUEST_ROWS),
        ]
    )
    answer = known.drop("enriched_at").with_columns(
        asked["request_id"],
        answered_at=pl.lit(at),
        found=pl.lit(value=True),
        **{f"has_{block}": pl.lit(value=True) for block in blocks},
    )
    confirmed = digest_keys(answer_keys(known))
    identity = (
        pl.concat([keys.select(confirmed.columns).cast(confirmed.schema), confirmed])
        .unique(maintain_order=True)
        .join(asked, on="person_id", how="left", maintain_order="left")
        .with_columns(known_at=pl.lit(at))
    )
    return {
        "new_request": changes,
        "new_answer": _filled(answer, ANSWER_ROWS, false=[f"has_{name}" for name in ("social",)]),
        "new_response": _filled(
            asked.with_columns(received_at=pl.lit(at), body=pl.lit(_BODY)), RESPONSE_ROWS
        ),
        "new_identity": identity.select(IDENTITY_ROWS.names()).cast(IDENTITY_ROWS),
    }


def _request_id(number: int) -> str:
    return str(uuid.UUID(int=(data.SEED << 64) + number))


def _batch_of(people: int) -> pl.Series:
    """The number of the request that asks for each of so many people."""
    return pl.select(pl.int_range(people) // MAX_LEADS).to_series()


def _filled(frame: pl.DataFrame, schema: pl.Schema, *, false: list[str] | None = None) -> pl.DataFrame:
    """The frame with all columns of a schema; those it lacks are null, or false."""
    lacking = {name: pl.lit(None, dtype) for name, dtype in schema.items() if name not in frame.columns}
    lacking |= {name: pl.lit(value=False) for name in false or ()}
    return frame.with_columns(**lacking).select(schema.names()).cast(schema)
