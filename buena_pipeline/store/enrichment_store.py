"""The store as the rest of the library sees it: frames in, frames out, one transaction a call."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl
import pyarrow as pa

from buena_pipeline.errors import NotAStoreError, QueryError, SettingsError, StoreError
from buena_pipeline.postings import Postings
from buena_pipeline.schema import RECORD, TIMESTAMP
from buena_pipeline.settings import StoreKey, resolve_store_key, resolve_store_path
from buena_pipeline.store import erasure, suppression
from buena_pipeline.store.database import Database
from buena_pipeline.store.diagnosis import is_damage, query_fails
from buena_pipeline.store.integrity import check_integrity
from buena_pipeline.store.journal import Journal, JournalWarning
from buena_pipeline.store.sealing import sealed, unsealed
from buena_pipeline.store.statements import statement
from buena_pipeline.store.subjects import subject_keys
from buena_pipeline.store.transaction import Transaction

Columns = Mapping[str, str | Sequence[str] | None]

_ROOM: Final = 32_000_000
"""Bytes that the answers to everything under way, the log and a checkpoint may take."""

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


def _journal(path: Path, key: StoreKey | None) -> Journal:
    """The journal beside a store, sealed with the store's key."""
    folder = Path(f"{path}.journal")
    if key is None:
        return Journal(folder)
    return Journal(
        folder,
        seal=partial(sealed, key=key, spare=path.parent),
        unseal=partial(unsealed, key=key, spare=path.parent),
    )


class EnrichmentStore:
    """The DuckDB file that remembers every answer, every key and every credit.

    The file is created on first use and opened only for the length of a call, so that a notebook, a
    Dagster step and the DuckDB shell can take turns. Any DuckDB from 1.4 on can read it; query the views
    ``leads``, ``failures``, ``stale``, ``credits_by_day`` and ``coverage``.

    Args:
        path: the file; default ``BUENA_STORE``, else ``buena.duckdb`` in the working folder.
        encryption_key: makes a new file encrypted, and opens one that is; default ``BUENA_STORE_KEY``, else
            no encryption. Nobody reads the store without it. Writing then needs DuckDB's extension httpfs.
        read_only: never write, and never create the file.
        lock_timeout: seconds to wait while other programs hold the file.

    Raises:
        SettingsError: for ``":memory:"``, which would forget what was paid for, and for an empty key.
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
        encryption_key: str | None = None,
        read_only: bool = False,
        lock_timeout: float = 60.0,
    ) -> None:
        if str(path) == ":memory:":
            raise SettingsError(
                "A store in memory would forget what was paid for: name a file, such as buena.duckdb."
            )
        # a link to a store is that store, and a relative path stays where it was
        resolved = Path(os.path.realpath(resolve_store_path(path)))
        if resolved.suffix.lower() in _TABLE_ENDINGS:
            raise NotAStoreError(
                f"{resolved} is a table by its name; the store is a DuckDB file, such as buena.duckdb.",
                path=str(resolved),
            )
        key = resolve_store_key(encryption_key)
        self._database = Database(resolved, lock_timeout=lock_timeout, read_only=read_only, key=key)
        self._journal = _journal(resolved, key)

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

    @property
    def lock_timeout(self) -> float:
        """Seconds to wait while other programs hold the file."""
        return self._database.lock_timeout

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
                raise query_fails(error, self.path) from None
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
        """One row per request, oldest first: what it asked for, what became of it, what it cost.

        Returns:
            ``request_id``, ``run_id``, ``account``; ``sent_at``, ``closed_at`` (null while in flight),
            ``settled_at`` (when an unknown outcome turned out charged or not) and ``lease_until``; ``state``,
            the newest of ``schema.REQUEST_STATES``; ``blocks``, ``people`` (how many), ``credits_reserved``,
            ``credits_used``, ``credits_remaining`` and ``reason``.
        """
        return self.sql(
            """
            select request_id, run_id, account, sent_at, closed_at, settled_at, lease_until, state, blocks,
                   len(people) as people, credits_reserved, credits_used, credits_remaining, reason
            from newest_request order by sent_at, request_id
            """
        )

    def runs(self) -> pl.DataFrame:
        """One row per run, oldest first: when it started and ended, and the counts of its report.

        Returns:
            ``run_id``, ``started_at``, ``ended_at``, ``state`` and ``rows``; then, null for a run without a
            report, ``people``, ``cached``, ``enriched``, ``failed``, ``deferred``, ``suppressed``,
            ``unknown``, ``requests``, ``credits_used``, ``avoided_by_duplicates``, ``avoided_by_store``,
            ``avoided_by_failures``, ``credits_remaining``, and the report as JSON in ``summary``.
        """
        return self.sql(
            """
            with last_run as (
                select run_id, min(happened_at) as started_at,
                       max(happened_at) filter (state <> 'started')                as ended_at,
                       coalesce(arg_max(state, happened_at) filter (state <> 'started'), 'started') as state,
                       max(rows) as rows, arg_max(summary, happened_at) as summary
                from run group by run_id
            ),
            unpacked as (
                select *, json_transform(case when json_valid(summary) then summary end, '{
                    "people": "UBIGINT", "duplicates": "UBIGINT", "cached": "UBIGINT", "enriched": "UBIGINT",
                    "failed": "UBIGINT", "failed_remembered": "UBIGINT", "deferred": "UBIGINT",
                    "suppressed": "UBIGINT", "unknown": "UBIGINT", "requests": "UBIGINT",
                    "credits_used": "DOUBLE", "credits_remaining": "DOUBLE"}') as report
                from last_run
            )
            select run_id, started_at, ended_at, state, rows, report.people, report.cached, report.enriched,
                   report.failed, report.deferred, report.suppressed, report.unknown, report.requests,
                   report.credits_used, report.duplicates as avoided_by_duplicates,
                   report.cached as avoided_by_store, report.failed_remembered as avoided_by_failures,
                   report.credits_remaining, summary
            from unpacked order by started_at, run_id
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

    # --- for the people in it ---------------------------------------------------------------------------

    def forget(self, who: Any, *, columns: Columns | None = None) -> int:
        """Erases people: answers, raw bodies, keys and links are gone, down to the bytes of the file.

        The ledger keeps what they cost, but no longer says for whom it was. Whoever any given address or
        profile points to is erased, rather more people than fewer; a name with a company counts only where
        there is nothing else, and then means everybody of that name there. Raw text that belongs to nobody
        goes where it names them. Copies of the file and backups are out of reach, and so is an answer that
        is still on its way: suppress first, if they shall not come back.

        Args:
            who: an e-mail address or the URL of a LinkedIn profile, or a list of such texts; a mapping with
                the fields of a lead; or a table with one person a row.
            columns: for a table, which column says what, where the names do not tell.

        Returns:
            How many people there were.

        Raises:
            InputError: if anything given identifies nobody; then nothing was changed.
            StoreLockedError: if others hold the file for too long.
            StoreError: if the file cannot be written anew, which needs room for a second one; it is as before
                then. Also if it holds tables that are not the library's.

        Example:
            >>> import tempfile
            >>> folder = tempfile.TemporaryDirectory()
            >>> store = EnrichmentStore(folder.name + "/leads.duckdb")
            >>> store.suppress("jane@acme.example"), store.forget("jane@acme.example")
            (1, 0)
            >>> folder.cleanup()
        """
        keys = subject_keys(who, columns)
        self._empty_journal()
        return erasure.forget(self._database, keys)

    def retention(self, older_than: timedelta) -> int:
        """Erases what is older than an age, down to the bytes of the file.

        Answers and raw bodies of that age go, of everybody, and the reasons requests of that age ended with.
        People of whom nothing younger is left, neither an answer nor a request that asked for them, go as a
        whole, as by ``forget``; of others the younger answers, all keys and links stay. The ledger keeps
        what it cost.

        Args:
            older_than: the age; not negative.

        Returns:
            How many people lost an answer, or everything.

        Raises:
            InputError: if that is no age.
            StoreError: as for ``forget``.
        """
        since = erasure.moment_before(datetime.now(UTC), older_than)
        self._empty_journal()
        return erasure.retain(self._database, since=since)

    def suppress(self, who: Any, *, columns: Columns | None = None) -> int:
        """Puts people on the list of those who must not be enriched; what the store has of them stays.

        The list holds nothing but keyed hashes: of the addresses and profiles that are given, of name and
        company where nothing else is, and of all addresses and profiles the store knows of whom these point
        to. So suppress first, then forget.

        Args:
            who: as for ``forget``.
            columns: as for ``forget``.

        Returns:
            How many hashes the list has gained; 0 if they were on it already.

        Raises:
            InputError: if anything given identifies nobody; then nothing was changed.
        """
        return suppression.suppress(self._database, subject_keys(who, columns), now=datetime.now(UTC))

    def unsuppress(self, who: Any, *, columns: Columns | None = None) -> int:
        """Takes people off that list, by what is given and what the store still knows of them.

        Args:
            who: as for ``forget``.
            columns: as for ``forget``.

        Returns:
            How many hashes the list has lost.

        Raises:
            InputError: if anything given identifies nobody; then nothing was changed.
        """
        return suppression.unsuppress(self._database, subject_keys(who, columns))

    def suppressed(self) -> int:
        """How many hashes are on that list."""
        return int(self.sql("select count(*) from suppression").item())

    # --- for the orchestrator ---------------------------------------------------------------------------

    @contextmanager
    def transaction(self, *, lock_timeout: float | None = None) -> Iterator[Transaction]:
        """One turn at the file, in which the journal is taken in first; written when the block ends.

        Args:
            lock_timeout: seconds to wait for others; default that of the store.

        Raises:
            StoreLockedError: if another program holds the file for too long; nothing was written.
            StoreError: if the file cannot be written; nothing was.
        """
        with self._database.transaction(lock_timeout=lock_timeout) as connection:
            turn = Transaction(connection, self._journal.alive)
            taken_in = self._take_in_journal(turn)
            yield turn
            turn.link()
        for entry in taken_in:
            entry.unlink(missing_ok=True)

    def lookup(self, keys: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """What is known of the people of one table.

        Args:
            keys: schema ``PERSON_KEYS``, the keys of each person strongest first.

        Returns:
            Each person's own id and whether it is suppressed (schema ``OWN_ID``, by ``person``), and
            the people of the store that the keys point to (schema ``KNOWN``, any order).
        """
        with self.consult() as turn:
            return turn.lookup(keys)

    @contextmanager
    def consult(self) -> Iterator[Transaction]:
        """One turn at the file for reading; the journal is taken in first, where the store may be written."""
        if not self.read_only:
            with self.transaction() as turn:
                yield turn
        else:
            with self._database.connect() as connection:
                yield Transaction(connection, self._journal.alive)

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

    def living(self, run_id: str) -> AbstractContextManager[None]:
        """Held by a run while it lives, so that others can tell its requests from those of the dead."""
        return self._journal.living(run_id)

    def learn(self, keys: pl.DataFrame, *, now: datetime) -> None:
        """Writes keys of people who are known already, as far as they are new.

        Args:
            keys: ``person_id``, ``kind`` and ``value``.
            now: when they were seen.
        """
        rows = keys.with_columns(known_at=now, request_id=pl.lit(None, pl.String))
        self.commit(new_identity=rows)

    def keep(self, postings: Postings) -> Path:
        """Enters what the file cannot take now in the journal; the next turn at the file takes it in.

        Returns:
            The entry; beside the store, or, where that disk is full, in the system's temporary folder.

        Raises:
            OSError: if neither takes it.
        """
        text = postings.to_json()
        try:
            return self._journal.put(text)
        except OSError:
            return self._journal.spare.put(text)

    def require_room(self) -> None:
        """Makes sure that the disk has room for what is about to be paid for.

        Raises:
            StoreError: if it has not; says how much is missing.
        """
        free = shutil.disk_usage(self.path.parent).free
        if free < _ROOM:
            raise StoreError(
                f"The disk of the store {self.path} has {free / 1e6:.0f} MB left, and answers need up to "
                f"{_ROOM / 1e6:.0f} MB: make room, then run again. Nothing more was sent.",
                path=str(self.path),
            )

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
        with self.transaction() as turn:
            turn.write(**frames)

    def _empty_journal(self) -> None:
        """Before people are erased: whatever waits in the journal goes where it can be found."""
        if self._journal.entries() or self._journal.spare.entries():
            with self.transaction():
                pass
        if aside := self._journal.aside():
            warnings.warn(
                f"{len(aside)} damaged entries of the journal cannot be searched for people: "
                f"{', '.join(map(str, aside))}. Delete them if people in them must be forgotten.",
                JournalWarning,
                stacklevel=3,
            )

    def _take_in_journal(self, turn: Transaction) -> list[Path]:
        """Enters what the journal holds; the entries, to be deleted once that is true."""
        taken = []
        for entry in (*self._journal.entries(), *self._journal.spare.entries()):
            text = self._journal.read(entry)
            try:
                frames = None if text is None else Postings.from_json(text).frames()
            except (ValueError, TypeError, pl.exceptions.PolarsError):
                frames = None
            if frames is None:
                self._journal.set_aside(entry)
            else:
                turn.write(**frames)
                taken.append(entry)
        return taken
