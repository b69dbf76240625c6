"""Where a component finds leads and puts what comes of them: files, tables of DuckDB, assets of the project.

No ``from __future__ import annotations`` here: Dagster resolves the fields by their types.
"""

from pathlib import Path
from typing import Any, Final, Self

import dagster as dg
import polars as pl
from pydantic import Field, model_validator

from buena_pipeline.errors import InputError
from buena_pipeline.files import check_output, scan_table, write_table
from buena_pipeline.store.user_tables import check_user_table, read_user_table, write_user_table
from buena_pipeline.tables import as_frame

_PLACES: Final = ("file", "database", "asset")


class Place(dg.Model, dg.Resolvable):
    """Where a table is: a file, or a table of a DuckDB file. Paths are relative to the project."""

    file: str | None = Field(
        default=None, description="A .csv, .tsv, .parquet, .ndjson, .json or .xlsx file."
    )
    database: str | None = Field(default=None, description="A DuckDB file; not the store.")
    table: str | None = Field(default=None, description="A table in it; to read from, also a view.")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        named = [name for name in _PLACES if getattr(self, name, None) is not None]
        if len(named) != 1 or (self.database is None) != (self.table is None):
            choices = "a file, an asset," if isinstance(self, Source) else "a file,"
            raise ValueError(f"name one place: {choices} or a database and a table in it")
        return self

    def files(self, root: Path) -> tuple[Path | None, str | None]:
        """Which file it is, and which table in it; no file for an asset."""
        name = self.file or self.database
        return (None if name is None else (root / name).resolve(), self.table)


class Source(Place):
    """Where leads are: also the value of an asset of the project, as its IO manager loads it."""

    asset: str | None = Field(
        default=None,
        description="The key of an asset that returns a table: polars, pandas, pyarrow or another.",
    )

    @property
    def key(self) -> dg.AssetKey | None:
        """The asset, if it is one."""
        return None if self.asset is None else dg.AssetKey.from_user_string(self.asset)

    def read(self, root: Path, loaded: Any) -> pl.LazyFrame:
        """The table.

        Args:
            root: the folder of the project.
            loaded: the value of the asset, if it is one.
        """
        if self.asset is not None:
            return loaded if isinstance(loaded, pl.LazyFrame) else as_frame(loaded).lazy()
        if self.file is not None:
            return scan_table(root / self.file)
        return read_user_table(root / str(self.database), str(self.table)).lazy()


class Target(Place):
    """Where the enriched table goes."""

    def check(self, leads: pl.LazyFrame, schema: pl.Schema, root: Path) -> None:
        """Whether a table can be written there, before it costs anything.

        Args:
            leads: the table.
            schema: what it is going to have for columns.
            root: the folder of the project.
        """
        if self.file is None:
            check_user_table(schema, root / str(self.database), str(self.table))
            return
        path = root / self.file
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            why = "it is a file" if isinstance(error, FileExistsError) else error.strerror
            raise InputError(f"The folder {path.parent} for the target cannot be made: {why}.") from None
        check_output(path, leads)

    def write(self, frame: pl.LazyFrame, root: Path) -> pl.LazyFrame:
        """Puts a table there, in place of an old one as a whole; returns it."""
        if self.file is None:
            table = frame.collect()
            write_user_table(table, root / str(self.database), str(self.table))
            return table.lazy()
        path = root / self.file
        write_table(frame, path)
        return scan_table(path)
