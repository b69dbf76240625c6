"""Work on columns alone, without store or vendor: identity keys, people, scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.worker import Watch


def identity_ours(watch: Watch, *, leads: str) -> dict[str, Any]:
    """The hashed keys of every row, streamed."""
    import polars as pl

    from buena_pipeline.columns import find_columns
    from buena_pipeline.identity import identify

    watch.start()
    table = pl.scan_parquet(leads)
    rows = identify(table, find_columns(table.collect_schema()))
    keys = [name for name in rows.collect_schema() if name.startswith("key_")]
    hashed = rows.select(pl.col(name).hash() for name in keys).collect(engine="streaming")
    watch.stop()
    return {"rows": hashed.height, "keys": keys}


def identity_python(watch: Watch, *, leads: str, rows: int) -> dict[str, Any]:
    """The same keys, row by row."""
    import polars as pl

    from bench.plain_python import identity_keys

    fields = ["email", "linkedin_url", "first_name", "last_name", "company"]
    watch.start()
    table = pl.scan_parquet(leads).select(fields).head(rows).collect()
    hashed = [tuple(map(hash, identity_keys(*row))) for row in table.iter_rows()]
    watch.stop()
    return {"rows": len(hashed)}


def people_ours(watch: Watch, *, keys: str) -> dict[str, Any]:
    """Which rows are one person, by three kinds of keys."""
    import polars as pl

    from buena_pipeline.people import group_people

    table = pl.read_parquet(keys)
    watch.start()
    person = group_people(table)
    watch.stop()
    return {"rows": len(person), "people": int(person.max()) + 1}  # type: ignore[arg-type]


def people_unique(watch: Watch, *, keys: str) -> dict[str, Any]:
    """Which rows have an address of their own: rows dropped that repeat one key."""
    import polars as pl

    table = pl.read_parquet(keys)
    watch.start()
    unique = table.unique("key_email_0", keep="first", maintain_order=True)
    watch.stop()
    return {"rows": table.height, "people": unique.height}


def score_ours(watch: Watch, *, enriched: str) -> dict[str, Any]:
    """The vendor's example score of a table in memory."""
    import polars as pl

    from buena_pipeline import score_frame

    table = pl.read_parquet(enriched)
    watch.start()
    scored = score_frame(table)
    watch.stop()
    return {"rows": scored.height, "sum": scored["buena_score"].sum()}


def score_python(watch: Watch, *, enriched: str, rows: int) -> dict[str, Any]:
    """The same score, row by row."""
    import polars as pl

    from bench.plain_python import SCORED_FIELDS, score

    table = pl.read_parquet(enriched).head(rows)
    watch.start()
    fields = table.select(f"buena_{name}" for name in SCORED_FIELDS)
    scored = [score(row) for row in fields.iter_rows(named=True)]
    watch.stop()
    return {"rows": len(scored), "sum": sum(scored)}
