"""The store as people use it: queries, receipts, a check, an export, and erasure for those who are in it.

What a run reads and writes is in ``journaled_store``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl

from buena_pipeline.errors import InputError, NotAStoreError, QueryError, SettingsError, StoreError
from buena_pipeline.settings import resolve_store_key, resolve_store_path
from buena_pipeline.store import erasure, suppression
from buena_pipeline.store.backup import back_up, require_free
from buena_pipeline.store.diagnosis import is_damage, query_fails
from buena_pipeline.store.integrity import check_integrity
from buena_pipeline.store.journaled_store import JournaledStore
from buena_pipeline.store.queries import require_holdable, require_query
from buena_pipeline.store.statements import statement
from buena_pipeline.store.subjects import subject_keys, subjects

Columns = Mapping[str, str | Sequence[str] | None]

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


class EnrichmentStore(JournaledStore):
    """The DuckDB file that remembers every answer, every key and every credit.

    The file is created on first use and opened only for the length of a call, so that a notebook, a
    Dagster step and the DuckDB shell can take turns. Any DuckDB from 1.4 on can read it; query the views
    ``leads``, ``failures``, ``stale``, ``credits_by_day`` and ``coverage``, and look people up with
    ``buena_lead(address)`` and ``buena_profile(url)``. Every column has a comment that says what it means.

    Args:
        path: the file; default ``BUENA_STORE``, else ``buena.duckdb`` in the working folder.
        encryption_key: makes a new file encrypted, and opens one that is; default ``BUENA_STORE_KEY``, else
            no encryption. Nobody reads the store without it. Writing then needs DuckDB's extension httpfs.
        read_only: never write, and never create the file.
        lock_timeout: seconds to wait while other programs hold the file.

    Raises:
        InputError: for what is no path.
        SettingsError: for ``":memory:"``, which would forget what was paid for, an empty key, or a negative
            ``lock_timeout``.
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
        patience: object = lock_timeout
        if not isinstance(patience, int | float) or isinstance(patience, bool) or not patience >= 0:
            raise SettingsError(f"lock_timeout takes seconds, from 0 on, not {lock_timeout!r:.40}.")
        place: object = path
        if not isinstance(place, str | os.PathLike | None) or "\0" in str(path):
            raise InputError("The store takes the path of its file, such as buena.duckdb.")
        # a link to a store is that store, and a relative path stays where it was
        resolved = Path(os.path.realpath(resolve_store_path(path)))
        if resolved.suffix.lower() in _TABLE_ENDINGS:
            raise NotAStoreError(
                f"{resolved} is a table by its name; the store is a DuckDB file, such as buena.duckdb.",
                path=str(resolved),
            )
        key = resolve_store_key(encryption_key)
        super().__init__(resolved, key=key, read_only=read_only, lock_timeout=lock_timeout)

    def __repr__(self) -> str:
        return f"EnrichmentStore({str(self.path)!r})"

    # --- for people -------------------------------------------------------------------------------------

    def sql(self, query: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> pl.DataFrame:
        """Runs a query that reads, and returns its result.

        Args:
            query: one SQL query in DuckDB's dialect; the file is opened read-only for it.
            params: values for ``?`` or ``$name`` placeholders.

        Raises:
            QueryError: if the query does not run, or is none: would write, or set or attach something.

        Example:
            >>> import tempfile
            >>> folder = tempfile.TemporaryDirectory()
            >>> store = EnrichmentStore(folder.name + "/leads.duckdb")
            >>> store.sql("select title from buena_lead($address)", {"address": "jane@acme.example"}).height
            0
            >>> folder.cleanup()
        """
        import pyarrow as pa

        asked: object = query
        if not isinstance(asked, str) or not asked.strip():
            raise QueryError("There is no query: ask something, such as from leads.", path=str(self.path))
        if isinstance(params, str | bytes) or not isinstance(params, Sequence | Mapping | None):
            raise QueryError(
                "params takes a list of values for ?, or a mapping of values for $name.", path=str(self.path)
            )
        with self._database.connect(read_only=True) as connection:
            try:
                require_query(connection, query, self.path)
                relation: Any = connection.sql(query, params=params)
                if relation is None:
                    return pl.DataFrame()
                require_holdable(relation, self.path)
                result: pl.DataFrame = relation.pl()
            except duckdb.Error as error:
                if is_damage(error):
                    raise
                raise query_fails(error, self.path, outdated=self._database.outdated) from None
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
                   (select coalesce(sum(credits_used), 0) from newest_request)  as credits_used
            """
        )
        return StoreStats(**counts.row(0, named=True), file_bytes=self.path.stat().st_size)

    def ledger(self) -> pl.DataFrame:
        """One row per request, oldest first: what it asked for, what became of it, what it cost.

        Returns:
            ``request_id``, ``run_id``, ``account``; ``sent_at``, ``closed_at`` (null while in flight),
            ``settled_at`` (when an unknown outcome turned out charged or not) and ``lease_until``; ``state``,
            the one that counts of ``schema.REQUEST_STATES``; ``blocks``, ``people`` (how many),
            ``credits_reserved``, ``credits_used``, ``credits_remaining`` and ``reason``.
        """
        return self.sql(statement("ledger.sql"))

    def runs(self) -> pl.DataFrame:
        """One row per run, oldest first: when it started and ended, and the counts of its report.

        Returns:
            ``run_id``, ``started_at``, ``ended_at``, ``state`` and ``rows``; then, null for a run without a
            report, ``people``, ``cached``, ``enriched``, ``failed``, ``deferred``, ``suppressed``,
            ``unknown``, ``requests``, ``credits_used``, ``avoided_by_duplicates``, ``avoided_by_store``,
            ``avoided_by_failures``, ``credits_remaining``, and the report as JSON in ``summary``.
        """
        return self.sql(statement("runs.sql"))

    def check(self) -> pl.DataFrame:
        """Examines the store: whether every row can be read and fits the others. Changes nothing.

        Returns:
            One row per check (schema ``CHECKS``): its name, whether all is well, how many rows or files are
            not as they should be (null if the check cannot be made), and what that means. No personal data.

        Raises:
            StoreDamagedError: if the file or its log cannot be read as it was written.
        """
        return check_integrity(self._database, self.journals)

    def export(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Writes each view as a Parquet file into a folder, which is created, and returns the paths."""
        if not isinstance(folder, str | os.PathLike):
            raise InputError(f"export takes the path of a folder, not {type(folder).__name__}.")
        target = Path(folder)
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"The folder {target} cannot be made: {error.strerror or type(error).__name__}. Name another."
            ) from None
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

    def backup(self, path: str | os.PathLike[str]) -> Path:
        """Copies the store into a second file, of one moment: runs may be under way, and wait meanwhile.

        The copy is a store like this one, with the same key if it is encrypted. To restore it, put it in the
        place of the store. Answers that came after it are bought again then.

        Args:
            path: the new file; nothing is replaced.

        Returns:
            Its path.

        Raises:
            InputError: if there is a file already, or the log of one that was, no such folder, or the name is
                that of a table, such as ``leads.csv``.
            StoreLockedError: if others hold the store for too long.
            StoreError: if there is no store yet, or no room for the copy.

        Example:
            >>> import tempfile
            >>> folder = tempfile.TemporaryDirectory()
            >>> store = EnrichmentStore(folder.name + "/leads.duckdb")
            >>> store.suppress("jane@acme.example")
            1
            >>> EnrichmentStore(store.backup(folder.name + "/monday.duckdb")).suppressed()
            1
            >>> folder.cleanup()
        """
        if not isinstance(path, str | os.PathLike):
            raise InputError(f"backup takes the path of a file, not {type(path).__name__}.")
        if "\0" in str(path) or str(path) == ":memory:":
            raise InputError("backup takes the path of a file, such as monday.duckdb.")
        target = Path(path)
        if target.suffix.lower() in _TABLE_ENDINGS:
            raise InputError(
                f"{target} is a table by its name; a backup is a DuckDB file, such as monday.duckdb."
            )
        require_free(target)
        self._empty_journal()
        back_up(self._database, target)
        return target

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
        self._bring_all_to_light()
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
        self._bring_all_to_light()
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
        return suppression.suppress(self._database, subjects(who, columns), now=datetime.now(UTC))

    def unsuppress(self, who: Any, *, columns: Columns | None = None) -> int:
        """Takes people off that list, by any identifier that they came there with.

        Each goes with everything that was put there for them at once, also what was forgotten since. What the
        store knows of them counts, too, but takes nobody along who came to the list by themselves.

        Args:
            who: as for ``forget``.
            columns: as for ``forget``.

        Returns:
            How many hashes the list has lost.

        Raises:
            InputError: if anything given identifies nobody; then nothing was changed.
        """
        return suppression.unsuppress(self._database, subjects(who, columns))

    def suppressed(self) -> int:
        """How many hashes are on that list."""
        return int(self.sql("select count(distinct hash) from suppression").item())
