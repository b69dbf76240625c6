"""Nobody in the table is known: the library against an ideal, and against a client that does nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.worker import Watch


def ours(watch: Watch, *, leads: str, url: str, key: str, in_flight: int) -> dict[str, Any]:
    """Everybody is bought into a new store, each request and answer in the ledger; the table comes back."""
    import tempfile

    import polars as pl

    from buena_pipeline import BuenaClient, enrich_frame

    table = pl.read_parquet(leads)
    with tempfile.TemporaryDirectory(prefix="buena-bench-") as folder:
        store = f"{folder}/buena.duckdb"
        with BuenaClient(key, url, concurrency=in_flight, limits=None) as client:
            watch.start()
            enriched = enrich_frame(table, store=store, client=client)
            watch.stop()
        statuses = {str(name): count for name, count in enriched["buena_status"].value_counts().iter_rows()}
        if set(statuses) != {"enriched"}:
            raise ValueError(f"not everybody was bought: {statuses}")
    return {"rows": enriched.height}


def again(watch: Watch, *, leads: str, others: str, url: str, key: str) -> dict[str, Any]:
    """A table is bought, then the same people in other spellings, and the first table again."""
    import tempfile

    import polars as pl

    from buena_pipeline import BuenaClient, enrich_frame

    with tempfile.TemporaryDirectory(prefix="buena-bench-") as folder:
        store = f"{folder}/buena.duckdb"
        with BuenaClient(key, url, concurrency=16, limits=None) as client:
            watch.start()
            for table in (leads, others, leads):
                enrich_frame(pl.read_parquet(table), store=store, client=client)
            watch.stop()
    return {}


def bare(watch: Watch, *, leads: str, url: str, key: str, in_flight: int) -> dict[str, Any]:
    """The same bodies posted over one ``httpx.Client`` by a pool of threads, every answer read as JSON."""
    import json
    from concurrent.futures import ThreadPoolExecutor

    import httpx

    bodies = list(_bodies(leads))
    limits = httpx.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
    headers = {"x-api-key": key, "content-type": "application/json"}
    with httpx.Client(headers=headers, limits=limits, timeout=60) as client:

        def post(body: bytes) -> int:
            answer = json.loads(client.post(f"{url}/enrich", content=body).content)
            return len(answer["data"]["enriched"])

        watch.start()
        with ThreadPoolExecutor(in_flight) as threads:
            found = sum(threads.map(post, bodies))
        watch.stop()
    return {"leads": found, "requests": len(bodies)}


def _bodies(leads: str) -> Iterator[bytes]:
    """The requests that the library makes of a table of leads."""
    import polars as pl

    from buena_pipeline.columns import find_columns
    from buena_pipeline.identity import identify
    from buena_pipeline.people import describe_people, group_people
    from buena_pipeline.settings import EnrichmentOptions
    from buena_pipeline.wire import MAX_LEADS, encode_request

    table = pl.read_parquet(leads)
    rows = identify(table, find_columns(table.schema))
    people = describe_people(rows, group_people(rows)).drop("person", "rows")
    for batch in people.iter_slices(MAX_LEADS):
        yield encode_request(batch.to_dicts(), EnrichmentOptions())
