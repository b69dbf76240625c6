"""Everybody in the table is known: the library, and the join that it could not do without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.worker import Watch

CHUNK = 1_000_000


def ours_frame(watch: Watch, *, leads: str, store: str) -> dict[str, Any]:
    """Parquet in, an enriched frame in memory; no key, no client, so nothing can be bought."""
    import polars as pl

    from buena_pipeline import enrich_frame

    watch.start()
    enriched = enrich_frame(pl.read_parquet(leads), store=store)
    watch.stop()
    _require_all_cached(enriched["buena_status"].value_counts())
    return {"columns": enriched.width, "rows": enriched.height, "output_bytes": enriched.estimated_size()}


def bare_frame(watch: Watch, *, leads: str, answers: str) -> dict[str, Any]:
    """The same answers, and their key in the table already: two files read, one ordered left join."""
    import polars as pl

    watch.start()
    known = pl.read_parquet(answers)
    joined = pl.read_parquet(leads).join(known.rechunk(), on="key", how="left", maintain_order="left")
    watch.stop()
    return {"columns": joined.width, "rows": joined.height, "output_bytes": joined.estimated_size()}


def ours_files(watch: Watch, *, leads: str, store: str, out: str) -> dict[str, Any]:
    """Parquet in, Parquet out, lazily."""
    import polars as pl

    from buena_pipeline import enrich_frame

    watch.start()
    enrich_frame(pl.scan_parquet(leads), store=store).sink_parquet(out)
    watch.stop()
    written = pl.scan_parquet(out)
    _require_all_cached(written.group_by("buena_status").len("count").collect())
    return {"columns": len(written.collect_schema()), "rows": written.select(pl.len()).collect().item()}


def bare_files(watch: Watch, *, leads: str, answers: str, out: str) -> dict[str, Any]:
    """The same without the library, a million rows at a time: answers are sought, joined and written."""
    import polars as pl
    import pyarrow.parquet as pq

    watch.start()
    known, writer, rows = pl.scan_parquet(answers), None, 0
    height = pl.scan_parquet(leads).select(pl.len()).collect().item()
    for start in range(0, height, CHUNK):
        part = pl.scan_parquet(leads).slice(start, CHUNK).collect()
        wanted = known.join(part.lazy().select("key").unique(), on="key", how="semi").collect(
            engine="streaming"
        )
        joined = part.join(wanted.rechunk(), on="key", how="left", maintain_order="left")
        table = joined.to_arrow(compat_level=pl.CompatLevel.oldest())
        writer = writer or pq.ParquetWriter(out, table.schema, compression="zstd")
        writer.write_table(table)
        rows += joined.height
    if writer is not None:
        writer.close()
    watch.stop()
    return {"rows": rows}


def _require_all_cached(counts: Any) -> None:
    """Everybody is served from the store, or the measured work was another one."""
    found = {str(status): count for status, count in counts.iter_rows()}
    if set(found) != {"cached"}:
        raise ValueError(f"not everybody was served from the store: {found}")
