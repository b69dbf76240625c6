"""One known lead at a time, and what it takes before the first one: imports."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.worker import Watch

# cast, because DuckDB's own way to a moment with a time zone needs pytz
_BY_HAND = """
select * replace (answered_at::timestamp as answered_at) from answer
where person_id = (select any_value(person_id) from identity where key = ?::uuid) and found
order by answered_at desc limit 1
"""


def ours(watch: Watch, *, store: str, sample: str, again: int) -> dict[str, Any]:
    """Some known leads, each looked up for the first time; then one of them over and over."""
    import json
    from pathlib import Path

    from buena_pipeline import Enricher

    leads = [entry["lead"] for entry in json.loads(Path(sample).read_text(encoding="utf-8"))]
    enricher = Enricher(store=store)
    watch.start()
    spent = []
    for lead in leads:
        began = time.perf_counter()
        found = enricher.lookup(lead)
        spent.append(time.perf_counter() - began)
        if found is None or found["email"] != lead["email"]:
            raise ValueError("a known lead was not found")
    watch.stop()
    repeated: list[float] = []
    until = time.perf_counter() + 2.0
    while len(repeated) < again and time.perf_counter() < until:
        began = time.perf_counter()
        enricher.lookup(leads[-1])
        repeated.append(time.perf_counter() - began)
    return {"seconds": spent, "repeated": sorted(repeated)}


def by_hand(watch: Watch, *, store: str, sample: str) -> dict[str, Any]:
    """The same leads, each by a connection of its own and one query that has the key ready."""
    import json
    from pathlib import Path

    import duckdb

    entries = json.loads(Path(sample).read_text(encoding="utf-8"))
    watch.start()
    spent = []
    for entry in entries:
        began = time.perf_counter()
        with duckdb.connect(store, read_only=True) as connection:
            cursor = connection.execute(_BY_HAND, [entry["key"]])
            names = [column[0] for column in cursor.description or ()]
            found = dict(zip(names, cursor.fetchone() or (), strict=False))
        spent.append(time.perf_counter() - began)
        if found["email"] != entry["lead"]["email"]:
            raise ValueError("a known lead was not found by hand")
    watch.stop()
    return {"seconds": spent}


def sample(watch: Watch, *, store: str, out: str, count: int) -> dict[str, Any]:
    """Known leads from all over a store, with the key under which it has them."""
    import json
    from pathlib import Path

    from buena_pipeline import EnrichmentStore

    watch.start()
    found = EnrichmentStore(store).sql(
        """
        with known as (
            select key, email, row_number() over (order by answer.rowid) as nth, count(*) over () as total
            from answer join identity using (person_id)
            where kind = 'email' and alternative_emails is null and email not like '%gmail.com'
        )
        select key::varchar as key, email from known where nth % (total // ?) = 0 order by nth limit ?
        """,
        [count, count],
    )
    entries = [{"key": row["key"], "lead": {"email": row["email"]}} for row in found.to_dicts()]
    Path(out).write_text(json.dumps(entries), encoding="utf-8")
    watch.stop()
    return {"leads": len(entries)}


def import_ours(watch: Watch) -> None:
    """The library."""
    watch.start()
    import buena_pipeline  # noqa: F401

    watch.stop()


def import_bare(watch: Watch) -> None:
    """What it could not do without."""
    watch.start()
    import duckdb  # noqa: F401
    import httpx  # noqa: F401
    import polars as pl  # noqa: F401

    watch.stop()
