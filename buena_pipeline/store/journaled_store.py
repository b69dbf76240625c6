"""The store as a run uses it: frames in, frames out, one turn at the file a call.

With the file goes its journal: what could not be written before is taken in first, whoever comes next. What
people ask of a store is in ``enrichment_store``.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl

from buena_pipeline.errors import StoreError
from buena_pipeline.lookup import Lookup
from buena_pipeline.postings import Postings
from buena_pipeline.schema import RECORD, TIMESTAMP, UUID
from buena_pipeline.settings import StoreKey
from buena_pipeline.store.database import Database
from buena_pipeline.store.departures import Departures
from buena_pipeline.store.digests import digest_keys
from buena_pipeline.store.exchange import from_query, to_arrow
from buena_pipeline.store.fingerprint import Fingerprint, fingerprint, is_settled
from buena_pipeline.store.journal import Journal, JournalWarning, warn_of_unread
from buena_pipeline.store.sealing import sealed, unsealed
from buena_pipeline.store.signals import block
from buena_pipeline.store.single_leads import Finding, Keys, read_leads
from buena_pipeline.store.statements import statement
from buena_pipeline.store.transaction import Transaction
from buena_pipeline.uuids import as_text

_ROOM: Final = 32_000_000
"""Bytes that the answers to everything under way, the log and a checkpoint may take."""

_FETCHED: Final = {
    "slot": pl.UInt32(),
    "row": pl.Int64(),
    "person_id": UUID,
    "enriched_at": TIMESTAMP,
    **RECORD,
}
"""What ``fetch`` and ``fetch_span`` can return."""


class JournaledStore:
    """A DuckDB file and the journal beside it.

    Args:
        path: the file, absolute; created on first use, unless ``read_only``.
        key: of an encrypted file, with which the journal is sealed, too.
        read_only: never write, and never create the file.
        lock_timeout: seconds to wait while other programs hold the file.
    """

    def __init__(self, path: Path, *, key: StoreKey | None, read_only: bool, lock_timeout: float) -> None:
        self._journal = _journal(path, key)
        self._open = partial(
            Database, path, lock_timeout=lock_timeout, key=key, keep_log=self._journal.keep_log
        )
        self._database = self._open(read_only=read_only)
        self._files = (str(path), f"{path}.wal")
        self._folders = tuple(map(str, self.journals))

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

    @property
    def journals(self) -> list[Path]:
        """The folders where answers wait that the file could not take: beside it, and the spare one."""
        return [self._journal.folder, self._journal.spare.folder]

    @block
    def transaction(self, *, lock_timeout: float | None = None) -> Iterator[Transaction]:
        """One turn at the file, in which the journal is taken in first; written when the block ends.

        Args:
            lock_timeout: seconds to wait for others; default that of the store.

        Raises:
            StoreLockedError: if another program holds the file for too long; nothing was written.
            StoreError: if the file cannot be written; nothing was.
        """
        with self._database.transaction(lock_timeout=lock_timeout, little=True) as connection:
            turn = Transaction(connection, self._journal)
            taken_in = self._take_in_journal(turn)
            yield turn
            turn.end()
        for entry in taken_in:
            entry.unlink(missing_ok=True)
        if turn.gave_up:
            self._journal.sweep()

    def lookup(self, keys: pl.DataFrame) -> Lookup:
        """What is known of the people of one table.

        Args:
            keys: schema ``PERSON_KEYS``, the keys of each person together, strongest first.
        """
        with self.consult() as turn:
            return turn.lookup(keys)

    @block
    def consult(self) -> Iterator[Transaction]:
        """One turn at the file for reading; the journal is taken in first, where the store may be written."""
        if not self.read_only:
            with self.transaction() as turn:
                yield turn
        else:
            with self._database.connect() as connection:
                yield Transaction(connection, self._journal)

    @block
    def preview(self) -> Iterator[Transaction]:
        """Like ``consult``, but makes no file where there is none, and reads one that may not be written."""
        with ExitStack() as stack:
            if self.read_only or self._may_be_written():
                yield stack.enter_context(self.consult())
                return
            there = self.path.exists()
            database = self._open(read_only=there)
            opened = database.connect() if there else database.unmade()
            yield Transaction(stack.enter_context(opened), self._journal)

    def _may_be_written(self) -> bool:
        """Whether there is a file to write, or something that waits to be written in one."""
        if self.path.exists():
            return os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK)
        waiting = self._journal.entries() or self._journal.spare.entries()
        return bool(waiting) or Path(f"{self.path}.wal").exists()

    def fetch(
        self,
        people: pl.DataFrame,
        columns: Sequence[str] = (*RECORD, "enriched_at"),
        *,
        file_id: str | None = None,
    ) -> pl.DataFrame:
        """The records of some people, newest values first.

        Args:
            people: ``person_id`` (``schema.UUID``), and ``row`` where ``lookup`` said where the record is.
            columns: which columns of ``schema.RECORD``, and ``enriched_at``.
            file_id: ``Transaction.file_id`` of then; rows move when a file is written anew.

        Returns:
            ``slot`` (UInt32), the place in ``people``; the ``person_id`` it stands for by now, and the
            columns; one row per slot whose person was ever found, any order.
        """
        wanted = people.select(
            pl.int_range(pl.len(), dtype=pl.UInt32).alias("slot"),
            "person_id",
            row="row" if "row" in people.columns else pl.lit(None, pl.Int64),
        )
        wished = pl.Schema({name: _FETCHED[name] for name in ("slot", "person_id", *columns)})
        if people.is_empty():
            return wished.to_frame()
        with self._database.connect() as connection:
            if file_id is None or Transaction(connection, self._journal).file_id() != file_id:
                wanted = wanted.with_columns(row=pl.lit(None, pl.Int64))
            connection.register("wanted", to_arrow(wanted))
            connection.execute(statement("fetch.sql"))
            record = from_query(connection, f"select {', '.join(wished)} from record")  # noqa: S608 - names of columns
        return record.select(wished.names()).cast(wished)

    def fetch_span(
        self, first: int, last: int, columns: Sequence[str], *, file_id: str | None
    ) -> pl.DataFrame:
        """The answers of a part of the file, for people of whom the one there is all there is.

        Args:
            first: the place of the first one, as ``lookup`` says them.
            last: that of the last one.
            columns: as for ``fetch``.
            file_id: as for ``fetch``; if the file is another one, nothing is read.

        Returns:
            ``row`` (Int64), where each stands, then what ``fetch`` returns but ``slot``.
        """
        wished = pl.Schema({name: _FETCHED[name] for name in ("row", "person_id", *columns)})
        if last < first:
            return wished.to_frame()
        with self._database.connect() as connection:
            if Transaction(connection, self._journal).file_id() != file_id:
                return wished.to_frame()
            query = statement("span.sql").format(", ".join(wished), first, last)
            return from_query(connection, query).select(wished.names()).cast(wished)

    def read_leads(self, leads: Sequence[Keys]) -> tuple[list[Finding], Fingerprint | None]:
        """What is known of single leads; the journal is taken in first, where the store may be written.

        Args:
            leads: the keys of each of them.

        Returns:
            What is said of each, and the fingerprint of a store that says so; None as long as a change of it
            might not show in that.
        """
        began = time.time_ns()
        folders = fingerprint(self._folders)
        if not self.read_only and (self._journal.entries() or self._journal.spare.entries()):
            with self.transaction():
                pass
        with self._database.connect(read_only=True) as connection:
            findings = read_leads(connection, leads)
            # nobody writes the file while it is open here
            taken = (*fingerprint(self._files), *folders)
        return findings, taken if is_settled(taken, now=began) else None

    def fingerprint(self) -> Fingerprint:
        """What the file system says of the store and its journal; the same as long as nothing has changed."""
        return fingerprint((*self._files, *self._folders))

    def living(self, run_id: str) -> AbstractContextManager[Departures]:
        """Held by a run while it lives, so that others can tell its requests from those of the dead.

        It gives what the run tells which of its requests leave.
        """
        return self._journal.living(run_id)

    def learn(self, keys: pl.DataFrame, *, now: datetime) -> None:
        """Writes keys of people who are known already, as far as they are new.

        Args:
            keys: ``person_id``, ``kind`` and ``key``.
            now: when they were seen.
        """
        rows = keys.with_columns(as_text(keys["person_id"]), known_at=now, request_id=pl.lit(None, pl.String))
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
        """Makes sure that there is room for what is about to be paid for: on the disk, and for a larger file.

        Raises:
            StoreError: if there is not; says how much is missing.
        """
        free, grows = shutil.disk_usage(self.path.parent).free, _growth(self.path)
        if min(free, grows) >= _ROOM:
            return
        what, cure = f"The disk of the store {self.path} has {free / 1e6:.0f} MB left", "make room"
        if free >= _ROOM:
            what = f"By the limit on file sizes, the store {self.path} may grow by {grows / 1e6:.0f} MB"
            cure = "raise it (ulimit -f)"
        raise StoreError(
            f"{what}, and answers need up to {_ROOM / 1e6:.0f} MB: {cure}, then run again. "
            "Nothing more was sent.",
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
            turn.write(frames)

    def _empty_journal(self) -> None:
        """Whatever waits in the journal goes into the file."""
        if self._journal.entries() or self._journal.spare.entries():
            with self.transaction():
                pass

    def _bring_all_to_light(self) -> None:
        """Before people are erased: whatever waits in the journal goes where it can be found."""
        self._empty_journal()
        if aside := [*self._journal.aside(), *self._journal.spare.aside()]:
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
            try:
                text = self._journal.read(entry)
            except FileNotFoundError:
                continue  # somebody has taken it in meanwhile
            except OSError as error:
                warn_of_unread(entry, error)
                continue
            try:
                frames = None if text is None else Postings.from_json(text).frames()
                if frames is not None:
                    frames["new_identity"] = digest_keys(frames["new_identity"])
            except (ValueError, TypeError, pl.exceptions.PolarsError):
                frames = None
            if frames is None:
                self._journal.set_aside(entry)
            else:
                turn.write(frames)
                taken.append(entry)
        return taken


def _growth(path: Path) -> float:
    """Bytes by which this process may make a file larger."""
    if sys.platform == "win32":
        return math.inf
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit == resource.RLIM_INFINITY:
        return math.inf
    return max(limit - (path.stat().st_size if path.exists() else 0), 0)


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
