"""Tables between assets: Parquet files in a folder, written whole or not at all, read a chunk at a time."""

import contextlib
import os
import time
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import dagster as dg
import polars as pl

from buena_pipeline.files import write_table

_LONG: Final = 7 * 86_400
"""Seconds after which nobody reads a snapshot any more."""


def _scan(path: Path) -> pl.LazyFrame:
    # a name may hold brackets or stars
    return pl.scan_parquet(path, glob=False)


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
        if not self.has(name):
            raise dg.Failure(
                f"There is no table {name} yet ({path}): materialize the asset of that name first.",
                allow_retries=False,
            )
        return _scan(path)

    def has(self, name: str, *, partition: str | None = None) -> bool:
        """Whether a table was written."""
        return self.path(name, partition=partition).exists()

    def scan_partitions(self, name: str, partitions: Iterable[str]) -> list[pl.LazyFrame]:
        """Those of these partitions that were written, in the order of their names."""
        paths = [self.path(name, partition=partition) for partition in sorted(partitions)]
        return [_scan(path) for path in paths if path.exists()]

    def keep_partitions(self, name: str, partitions: Collection[str]) -> None:
        """Removes all other partitions of a table."""
        kept = {self.path(name, partition=partition) for partition in partitions}
        for path in self.path(name).with_suffix("").glob("*.parquet"):
            if path not in kept:
                path.unlink(missing_ok=True)

    @contextmanager
    def snapshot(self, name: str) -> Iterator[pl.LazyFrame]:
        """A table that stays what it is for the block, also if it is written anew meanwhile.

        Raises:
            dagster.Failure: as ``scan`` does.
        """
        self.scan(name)
        path = self.path(name)
        self._sweep(name)
        held = path.with_name(f".{name}-{uuid.uuid4().hex}.parquet")
        os.link(path, held)
        try:
            yield _scan(held)
        finally:
            held.unlink(missing_ok=True)

    def _sweep(self, name: str) -> None:
        """Removes what runs that were killed held on to."""
        for held in Path(self.folder).glob(f".{name}-*.parquet"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - held.lstat().st_ctime > _LONG:
                    held.unlink()

    def write(
        self, frame: pl.DataFrame | pl.LazyFrame, name: str, *, partition: str | None = None
    ) -> pl.LazyFrame:
        """Writes a table, and returns what is there then; until it is whole, the old one is."""
        path = self.path(name, partition=partition)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(frame, path)
        return _scan(path)
