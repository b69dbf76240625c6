"""What others do with the same leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.worker import Watch

_WIRE = {
    "email": "email",
    "linkedin_url": "linkedinUrl",
    "first_name": "firstName",
    "last_name": "lastName",
    "company": "company",
}


def script_warm(watch: Watch, *, leads: str, cache: str, rows: int) -> dict[str, Any]:
    """pandas, requests and SQLite with everybody in the cache: a select and a JSON body per lead."""
    import pandas as pd

    from bench.peers.script import enrich, open_cache

    watch.start()
    enriched = enrich(pd.read_parquet(leads).head(rows), open_cache(cache))
    watch.stop()
    if enriched["buena_confidence"].isna().any():
        raise ValueError("not everybody was in the script's cache")
    return {"rows": len(enriched)}


def script_cold(watch: Watch, *, leads: str, rows: int, url: str, key: str) -> dict[str, Any]:
    """The same with an empty cache: one request after the other."""
    import tempfile

    import pandas as pd

    from bench.peers.script import enrich, open_cache

    table = pd.read_parquet(leads).head(rows)
    with tempfile.TemporaryDirectory(prefix="buena-bench-") as folder:
        watch.start()
        enriched = enrich(table, open_cache(f"{folder}/cache.sqlite"), url=url, key=key)
        watch.stop()
    return {"rows": len(enriched)}


def example_loop(watch: Watch, *, leads: str, rows: int, url: str, key: str) -> dict[str, Any]:
    """The vendor's own example."""
    from bench.peers.example_loop import enrich_all

    sent = _wire_leads(leads, rows)
    watch.start()
    enriched = enrich_all(sent, url=url, key=key)
    watch.stop()
    return {"rows": len(enriched)}


def openaivec(watch: Watch, *, leads: str, rows: int, url: str, key: str, in_flight: int) -> dict[str, Any]:
    """The batch cache of openaivec over a DuckDB file, with a function of our own that asks the vendor."""
    import asyncio
    import json
    import tempfile

    import httpx
    from openaivec._cache import AsyncBatchCache, DuckDBCacheBackend

    sent = [json.dumps(lead, sort_keys=True) for lead in _wire_leads(leads, rows)]

    async def work(path: str) -> list[Any]:
        limits = httpx.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
        async with httpx.AsyncClient(headers={"x-api-key": key}, limits=limits, timeout=60) as client:

            async def ask(batch: list[str]) -> list[Any]:
                body = f'{{"leads":[{",".join(batch)}]}}'
                answer = (await client.post(f"{url}/enrich", content=body)).json()
                found = {
                    json.dumps(item["input"], sort_keys=True): item for item in answer["data"]["enriched"]
                }
                return [found.get(lead) for lead in batch]

            cache: Any = AsyncBatchCache(
                batch_size=50,
                max_concurrency=in_flight,
                show_progress=False,
                cache=DuckDBCacheBackend.of(path),
            )
            return list(await cache.map(sent, ask))

    with tempfile.TemporaryDirectory(prefix="buena-bench-") as folder:
        watch.start()
        enriched = asyncio.run(work(f"{folder}/cache.duckdb"))
        watch.stop()
    return {"rows": len(enriched)}


def script_cache(watch: Watch, *, leads: str, answers: str, path: str, rows: int) -> dict[str, Any]:
    """Fills the script's cache with everybody in the first rows, under the keys that it looks for."""
    import polars as pl

    from bench.peers.script import lead_key, open_cache
    from buena_pipeline.flatten.items import COMPANY_TEXTS, PERSON_TEXTS

    watch.start()
    table = pl.read_parquet(leads).head(rows)
    names = pl.Series("name", [lead_key(row) for row in table.select(*_WIRE).iter_rows(named=True)])
    company = pl.struct(pl.col(ours).cast(pl.String).alias(wire) for ours, wire in COMPANY_TEXTS.items())
    person = [pl.col(ours).alias(wire) for ours, wire in PERSON_TEXTS.items()]
    lists = [pl.col("skills"), pl.col("alternative_emails").alias("alternativeEmails")]
    lead = pl.struct(pl.col(ours).alias(wire) for ours, wire in _WIRE.items())
    item = pl.struct(
        lead.alias("input"),
        pl.struct(*person, *lists, company.alias("companyInfo")).alias("enrichedData"),
        "confidence",
        "sources",
    )
    known = pl.scan_parquet(answers).filter(pl.col("key") <= table["key"].max())
    bodies = known.select("key", body=item.struct.json_encode()).collect()
    entries = table.select("key").with_columns(names).join(bodies, on="key").unique("name")
    with open_cache(path) as cache:
        cache.executemany("insert into cache values (?, ?)", entries.select("name", "body").iter_rows())
    watch.stop()
    return {"entries": entries.height, "body_bytes": entries["body"].str.len_bytes().mean()}


def _wire_leads(leads: str, rows: int) -> list[dict[str, str]]:
    """The first rows as the vendor takes them; without polars, which not every environment here has."""
    import pandas as pd

    table = pd.read_parquet(leads, columns=list(_WIRE)).head(rows)
    return [
        {_WIRE[field]: value for field, value in row.items() if isinstance(value, str)}
        for row in table.to_dict("records")
    ]
