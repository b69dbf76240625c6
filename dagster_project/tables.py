"""Tables between assets: Parquet files in a folder, written whole or not at all, read a chunk at a time."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import polars as pl

from buena_pipeline.files import write_table


class TablesResource(dg.ConfigurableResource):
    """A folder of Parquet files, one for each asset or partition."""

    folder: str

    def path(self, name: str, *, partition: str | None = None) -> Path:
        """Where a table is, or will be."""
        folder = Path(self.folder).resolve()
        return folder / f"{name}.parquet" if partition is None else folder / name / f"{partition}.parquet"

    def scan(self, name: str) -> pl.LazyFrame:
        """A table, read when it is needed.

        Raises:
            dagster.Failure: if it was never written.
        """
        path = self.path(name)
        if not path.exists():
            raise dg.Failure(
                f"There is no table {name} yet ({path}): materialize the asset of that name first.",
                allow_retries=False,
            )
        return pl.scan_parquet(path)

    def scan_partitions(self, name: str) -> list[pl.LazyFrame]:
        """All partitions of a table that were written, in the order of their names."""
        return [pl.scan_parquet(path) for path in sorted(self.path(name).with_suffix("").glob("*.parquet"))]

    @contextmanager
    def snapshot(self, name: str) -> Iterator[pl.LazyFrame]:
        """A table that stays what it is for the block, also if it is written anew meanwhile.

        Raises:
            dagster.Failure: as ``scan`` does.
        """
        self.scan(name)
        path = self.path(name)
        held = path.with_name(f".{name}-{uuid.uuid4().hex}.parquet")
        os.link(path, held)
        try:
            yield pl.scan_parquet(held)
        finally:
            held.unlink()

    def write(
        self, frame: pl.DataFrame | pl.LazyFrame, name: str, *, partition: str | None = None
    ) -> pl.LazyFrame:
        """Writes a table, and returns what is there then; until it is whole, the old one is."""
        path = self.path(name, partition=partition)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(frame, path)
        return pl.scan_parquet(path)
