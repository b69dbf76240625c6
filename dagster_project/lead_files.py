"""Files of leads: every one brings headers of its own, and all end up in one table."""

from collections.abc import Sequence, Set
from itertools import chain, count
from pathlib import Path
from typing import Final, NamedTuple

import dagster as dg
import polars as pl

from buena_pipeline.columns import find_columns
from buena_pipeline.errors import ColumnError, FileFormatError
from buena_pipeline.files import scan_table
from buena_pipeline.files.plain import plain_columns
from buena_pipeline.identity import identify
from buena_pipeline.people import group_people
from buena_pipeline.schema import DEFAULT_PREFIX

ENDINGS: Final = frozenset({".csv", ".tsv", ".parquet", ".ndjson", ".jsonl", ".json", ".xlsx"})
"""Files that are read; others in the folder are left alone."""

FILE: Final = "lead_file"
ROW: Final = "lead_row"
PERSON: Final = "person"

DESCRIPTIONS: Final = {
    FILE: "The file the lead came in.",
    ROW: "Its row there, from 1 on, headers not counted.",
    PERSON: "Which person it is: the same number for all rows of one person.",
    "email": "E-mail address, as the file has it; further ones are email_2, email_3 ...",
    "linkedin_url": "URL of the LinkedIn profile, as the file has it.",
    "first_name": "First name, as the file has it.",
    "last_name": "Last name, as the file has it.",
    "full_name": "Whole name, as the file has it.",
    "company": "Company, as the file has it.",
}
"""What the columns mean that all files have in common; others are each file's own."""


class Rows(NamedTuple):
    """How many rows there are, and a number that changes with which they are and their order."""

    rows: int
    digest: int

    def __str__(self) -> str:
        return f"{self.rows} {self.digest:x}"


def rows_of(leads: pl.LazyFrame) -> Rows:
    """Which rows a table has, by the file and row that they came from."""
    row = pl.struct(pl.int_range(pl.len()), FILE, ROW).hash(seed=0)
    return Rows(*leads.select(pl.len(), row.sum()).collect().row(0))


class LeadFilesResource(dg.ConfigurableResource):
    """The folder in which files of leads are dropped."""

    folder: str

    def states(self) -> dict[str, str]:
        """The name of each file, and what changes with it. Hidden ones are still being written.

        Raises:
            FileFormatError: if the folder is not there.
        """
        folder = Path(self.folder)
        if not folder.is_dir():
            raise FileFormatError(f"There is no folder {folder}: set LEADS_DIR to where leads are dropped.")
        return {
            path.name: f"{path.stat().st_mtime_ns}-{path.stat().st_size}"
            for path in sorted(folder.iterdir())
            if path.is_file() and path.suffix.lower() in ENDINGS and not path.name.startswith(".")
        }

    def scan(self, file: str) -> pl.LazyFrame:
        """The leads of a file, with the columns that say who they are named as in all files.

        Raises:
            FileFormatError, ColumnError: if it cannot be read, or nothing says who the leads are.
        """
        if Path(file).name != file:
            raise FileFormatError(f"{file} is no name of a file in {self.folder}.")
        return with_common_names(scan_table(Path(self.folder) / file), file=file)


def with_common_names(leads: pl.LazyFrame, *, file: str) -> pl.LazyFrame:
    """One file's leads with the columns that say who they are under the same names in every file.

    Args:
        leads: as they were read.
        file: the name of the file.

    Returns:
        ``lead_file`` and ``lead_row``, then all columns of the file: those that identify as ``email``,
        ``email_2`` ..., ``linkedin_url``, ``first_name``, ``last_name``, ``full_name`` and ``company``, all
        String; the others as they are, unless a name is taken, or begins as those of enrichment do.

    Raises:
        ColumnError: if nothing says who the leads are; names the file.
    """
    schema = leads.collect_schema()
    try:
        columns = find_columns(schema)
    except ColumnError as error:
        raise ColumnError(f"{file}: {error}", columns=error.columns) from None
    names = {column: f"email_{nth}" if nth > 1 else "email" for nth, column in enumerate(columns.email, 1)}
    for field in ("linkedin_url", "first_name", "last_name", "full_name", "company"):
        if column := getattr(columns, field):
            names[column] = field
    taken = {FILE, ROW, PERSON, *names.values()}
    others: dict[str, str] = {}
    for name in schema:
        if name not in names and (name in taken or name.startswith(DEFAULT_PREFIX)):
            others[name] = _free(f"file_{name}", {*schema, *taken, *others.values()})
    return (
        leads.select(
            pl.col(name).cast(pl.String) if name in names else pl.col(name) for name in schema.names()
        )
        .rename(names | others)
        .with_row_index(ROW, offset=1)
        .select(pl.lit(file).alias(FILE), pl.all())
    )


def _free(name: str, taken: Set[str]) -> str:
    """The name, with a number if it is taken."""
    numbered = (f"{name}_{nth}" for nth in count(2))
    return next(free for free in chain([name], numbered) if free not in taken)


def together(files: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
    """All files in one table; a column that two files have in different types becomes text in both.

    Args:
        files: at least one.
    """
    schemas = [file.collect_schema() for file in files]
    met: dict[str, set[pl.DataType]] = {}
    for schema in schemas:
        for name, dtype in schema.items():
            met.setdefault(name, set()).add(dtype)
    mixed = {name for name, dtypes in met.items() if len(dtypes - {pl.Null()}) > 1}
    return pl.concat(
        [file.with_columns(_texts(schema, mixed)) for file, schema in zip(files, schemas, strict=True)],
        how="diagonal_relaxed",
    )


def _texts(schema: pl.Schema, names: Set[str]) -> list[pl.Expr]:
    chosen = pl.Schema({name: dtype for name, dtype in schema.items() if name in names})
    return [text.cast(pl.String) for text in plain_columns(chosen)]


def with_people(leads: pl.LazyFrame) -> pl.LazyFrame:
    """The table with the number of each row's person in ``person``; null where nothing identifies one."""
    identified = identify(leads, find_columns(leads.collect_schema()))
    names = [name for name in identified.collect_schema() if name.startswith("key_")]
    hashed = identified.select(
        pl.when(pl.col(name).is_not_null()).then(pl.col(name).hash()).alias(name) for name in names
    )
    return leads.with_columns(group_people(hashed.collect(engine="streaming")).alias(PERSON))
