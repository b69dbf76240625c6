"""The store as the rest of the library sees it: frames in, frames out, one transaction a call."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl
import pyarrow as pa

from buena_pipeline.aliases import link_people
from buena_pipeline.errors import NotAStoreError, QueryError, SettingsError, StoreError
from buena_pipeline.schema import (
    ANSWER_ROWS,
    IDENTITY_ROWS,
    KNOWN,
    RECORD,
    REQUEST_ROWS,
    RESPONSE_ROWS,
    RUN_ROWS,
    TIMESTAMP,
)
from buena_pipeline.settings import resolve_store_path
from buena_pipeline.store.database import Database, is_damage, statement
from buena_pipeline.store.integrity import check_integrity

_COMMIT_INPUTS: Final = {
    "new_run": RUN_ROWS,
    "new_request": REQUEST_ROWS,
    "new_response": RESPONSE_ROWS,
    "new_answer": ANSWER_ROWS,
    "new_identity": IDENTITY_ROWS,
}

_BUYERS: Final[dict[Path, threading.RLock]] = {}

_TABLE_ENDINGS: Final = (".csv", ".tsv", ".parquet", ".json", ".jsonl", ".ndjson", ".xlsx")

_VIEWS: Final = ("leads", "failures", "stale", "credits_by_day", "coverage")


@dataclass(frozen=True, slots=True)
class StoreStats:
    """How much is in a store: people found and not found, answers, requests, credits, bytes of the file."""

    people: int
    failures: int
    answers: int
    requests: int
    credits_used: float
    file_bytes: int


def _for_owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class EnrichmentStore:
    """The DuckDB file that remembers every answer, every key and every credit.

    The file is created on first use and opened only for the length of a call, so that a notebook, a
    Dagster step and the DuckDB shell can take turns. Any DuckDB from 1.4 on can read it; query the views
    ``leads``, ``failures``, ``stale``, ``credits_by_day`` and ``coverage``.

    Args:
        path: the file; default ``BUENA_STORE``, else ``buena.duckdb`` in the working folder.
        read_only: never write, and never create the file.
        lock_timeout: seconds to wait while other programs hold the file.

    Raises:
        SettingsError: for ``":memory:"``, which would forget what was paid for.
        NotAStoreError: for the name of a table, such as ``leads.csv``.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> store = EnrichmentStore(folder.name + "/leads.duckdb")
        >>> store.sql("select count(*) as people from leads")["people"].item()
        0
        >>> folder.cleanup()
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        read_only: bool = False,
        lock_timeout: float = 60.0,
    ) -> None:
        if str(path) == ":memory:":
            raise SettingsError(
                "A store in memory would forget what was paid for: name a file, such as buena.duckdb."
            )
        resolved = resolve_store_path(path)
        if resolved.suffix.lower() in _TABLE_ENDINGS:
            raise NotAStoreError(
                f"{resolved} is a table by its name; the store is a DuckDB file, such as buena.duckdb.",
                path=str(resolved),
            )
        self._database = Database(resolved, lock_timeout=lock_timeout, read_only=read_only)

    def __repr__(self) -> str:
        return f"EnrichmentStore({str(self.path)!r})"

    @property
    def path(self) -> Path:
        """The DuckDB file."""
        return self._database.path

    @property
    def read_only(self) -> bool:
        """Whether the store refuses to write."""
        return self._database.read_only

    # --- for people -------------------------------------------------------------------------------------

    def sql(self, query: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> pl.DataFrame:
        """Runs a query that reads, and returns its result.

        Args:
            query: one SQL statement in DuckDB's dialect; the file is opened read-only for it.
            params: values for ``?`` or ``$name`` placeholders.

        Raises:
            QueryError: if the query does not run, or would write.
        """
        with self._database.connect(read_only=True) as connection:
            try:
                relation: Any = connection.sql(query, params=params)
                result: pl.DataFrame = pl.DataFrame() if relation is None else relation.pl()
            except duckdb.Error as error:
                if is_damage(error):
                    raise
                raise QueryError(f"The query does not run: {error}", path=str(self.path)) from None
            except (pl.exceptions.PolarsError, pa.ArrowException) as error:
                raise QueryError(
                    f"The result has a type that no table here holds; cast it, such as x::varchar: {error}",
                    path=str(self.path),
                ) from None
        return result

    def stats(self) -> StoreStats:
        """How much is in the store."""
        counts = self.sql(
            """
            select (select count(distinct person_id) from answer where found)   as people,
                   (select count(*) from failures)                              as failures,
                   (select count(*) from answer)                                as answers,
                   (select count(distinct request_id) from request)             as requests,
                   (select coalesce(sum(credits_used), 0) from request)         as credits_used
            """
        )
        return StoreStats(**counts.row(0, named=True), file_bytes=self.path.stat().st_size)

    def ledger(self) -> pl.DataFrame:
        """One row per request, oldest first: what it asked for, what became of it, what it cost."""
        return self.sql(
            """
            select request_id, any_value(run_id) as run_id, min(happened_at) as sent_at,
                   max(happened_at) filter (state <> 'in flight')               as answered_at,
                   coalesce(any_value(state) filter (state <> 'in flight'), 'in flight') as state,
                   any_value(blocks) as blocks, max(len(people)) as people,
                   max(credits_reserved) as credits_reserved, max(credits_used) as credits_used,
                   max(credits_remaining) as credits_remaining, any_value(reason) as reason
            from request group by request_id order by sent_at, request_id
            """
        )

    def runs(self) -> pl.DataFrame:
        """One row per run, oldest first: when it started and ended, its rows, and its report as JSON."""
        return self.sql(
            """
            select run_id, min(happened_at) as started_at,
                   max(happened_at) filter (state <> 'started')                 as ended_at,
                   coalesce(any_value(state) filter (state <> 'started'), 'started') as state,
                   max(rows) as rows, any_value(summary) as summary
            from run group by run_id order by started_at, run_id
            """
        )

    def check(self) -> pl.DataFrame:
        """Examines the store: whether every row can be read and fits the others. Changes nothing.

        Returns:
            One row per check (schema ``CHECKS``): its name, whether all is well, how many rows or files are
            not as they should be (null if the check cannot be made), and what that means. No personal data.

        Raises:
            StoreDamagedError: if the file or its log cannot be read as it was written.
        """
        return check_integrity(self._database)

    def export(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Writes each view as a Parquet file into a folder, which is created, and returns the paths."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        paths = [target / f"{view}.parquet" for view in _VIEWS]
        with self._database.connect(read_only=True) as connection:
            for view, path in zip(_VIEWS, paths, strict=True):
                try:
                    connection.table(view).write_parquet(str(path))
                except duckdb.Error as error:
                    if is_damage(error):
                        raise
                    raise StoreError(f"{path} cannot be written: {error}", path=str(self.path)) from None
        return paths

    # --- for the orchestrator ---------------------------------------------------------------------------

    def lookup(self, keys: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """What is known of the people of one table.

        Args:
            keys: schema ``PERSON_KEYS``, the keys of each person strongest first.

        Returns:
            The id that each person would get if it is new (``person``, ``person_id``), and the people of
            the store that the keys point to (schema ``KNOWN``, any order).
        """
        incoming = keys.with_row_index("position")
        with self._database.connect() as connection:
            connection.register("incoming", incoming.to_arrow())
            connection.execute(statement("lookup.sql"))
            own_id = connection.sql(
                "select person, person_id::varchar as person_id from own_id order by person"
            ).pl()
            known = connection.sql("select * replace (person_id::varchar as person_id) from known").pl()
        return own_id.cast({"person": pl.UInt32}), known.select(KNOWN.names()).cast(KNOWN)

    def fetch(self, people: pl.Series) -> pl.DataFrame:
        """The records of some people, newest values first.

        Args:
            people: person ids (String), as ``lookup`` gave them.

        Returns:
            ``asked_id``, the ``person_id`` it stands for by now, ``enriched_at`` and the columns of
            ``schema.RECORD``; one row per id whose person was ever found, any order.
        """
        schema = pl.Schema(
            {"asked_id": pl.String(), "person_id": pl.String(), "enriched_at": TIMESTAMP, **RECORD}
        )
        with self._database.connect() as connection:
            connection.register("wanted", people.alias("asked_id").to_frame().to_arrow())
            connection.execute(statement("fetch.sql"))
            query = "select * replace (person_id::varchar as person_id) from record"
            record: pl.DataFrame = connection.sql(query).pl()
        return record.select(schema.names()).cast(schema)

    def one_buyer(self) -> AbstractContextManager[bool]:
        """Held by one run of this process at a time, whatever object it uses for the file."""
        return _BUYERS.setdefault(self.path.resolve(), threading.RLock())

    def learn(self, keys: pl.DataFrame, *, now: datetime) -> None:
        """Writes keys of people who are known already, as far as they are new.

        Args:
            keys: ``person_id``, ``kind`` and ``value``.
            now: when they were seen.
        """
        rows = keys.with_columns(known_at=now, request_id=pl.lit(None, pl.String))
        self.commit(new_identity=rows)

    def keep_aside(self, run_id: str, rows: Mapping[str, Any]) -> Path:
        """Writes what the store could not take into a JSON file beside it, synced, for its owner only."""
        path = Path(f"{self.path}.unsaved-{run_id}.json")
        with open(path, "x", encoding="utf-8", opener=_for_owner_only) as file:
            json.dump(rows, file, default=str)
            file.flush()
            os.fsync(file.fileno())
        return path

    def checkpoint(self) -> None:
        """Moves everything into the one file, as at the end of a run; other releases then read it alone."""
        self._database.checkpoint()

    def commit(self, **frames: pl.DataFrame) -> None:
        """Writes what happened in one transaction; twice the same is written once.

        Args:
            frames: any of ``new_run``, ``new_request``, ``new_response``, ``new_answer`` and
                ``new_identity``, with the schemas of those names in ``schema``.

        Raises:
            StoreLockedError: if another program holds the file for too long; nothing was written.
        """
        with self._database.transaction() as connection:
            for name, schema in _COMMIT_INPUTS.items():
                frame = frames.get(name)
                rows = schema.to_frame() if frame is None else frame.select(schema.names()).cast(schema)
                connection.register(name, rows.to_arrow())
            connection.execute(statement("commit.sql"))
            connection.execute(statement("shared_keys.sql"))
            shared = connection.sql("select * replace (person_id::varchar as person_id) from shared").pl()
            if shared.height:
                connection.register("new_link", link_people(shared).to_arrow())
                connection.execute(statement("link.sql"))
