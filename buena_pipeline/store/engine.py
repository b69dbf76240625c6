"""DuckDB itself: an instance in memory, to which the store's file is attached for a piece of work at a time.

To start an instance takes ten times as long as to attach a file to one that runs, and a run does it for
every turn. What is not attached is not locked, so others take their turns in between.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import duckdb

from buena_pipeline.settings import StoreKey
from buena_pipeline.store.encryption import attach, load_crypto
from buena_pipeline.store.signals import block

_LOG_SIZE: Final = "2MB"
"""Every attachment replays the log, at about 4 ms a megabyte, so it is kept small."""

NO_LOG: Final = "set wal_autocheckpoint = '1kB'"
"""What is committed next goes into the file at once: every attachment would replay it, every checkpoint takes
about 250 kB. Until the file is attached again."""

ALL_CORES: Final = "reset threads"
"""What comes next is much. Until the file is attached again."""

_ONE_CORE: Final = "set threads = 1"
"""To hand on little costs more than to do it."""

_MEMORY: Final = 1_000_000_000
"""Bytes for look-ups and the file's pages; more is spilled. polars needs room beside it."""

_BREAKS: Final = (duckdb.FatalException, duckdb.InternalException, duckdb.InterruptException)
"""Errors after which nobody knows what an instance holds."""


class Engine:
    """An instance of DuckDB, started when it is first needed.

    Args:
        spill: the folder for what does not fit in memory; made only then.
        key: of an encrypted file; then what is spilled is encrypted, too.
    """

    def __init__(self, spill: Path, *, key: StoreKey | None) -> None:
        self._spill = spill
        self._key = key
        self._instance: duckdb.DuckDBPyConnection | None = None
        self._process = 0
        self._depth = 0
        self._whole = True

    @block
    def attached(
        self, path: Path, *, name: str = "store", read_only: bool = False, little: bool = False
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to a file; the file is let go of, and temporary tables are gone, when the block ends.

        Args:
            path: the file; made if it is not there, unless ``read_only``.
            name: its name in SQL.
            read_only: for reading only.
            little: whether there is little to do, for which one core is enough.

        Raises:
            duckdb.Error: if it cannot be opened.
            StoreError: if it is to be written, encrypted, and the crypto is missing.
        """
        instance = self._running()
        try:
            if self._key is not None and not read_only:
                load_crypto(instance)
            attach(instance, path, name=name, key=self._key, read_only=read_only)
        except BaseException as error:
            # a signal strikes at any moment: the file may be attached
            if not isinstance(error, duckdb.Error) or isinstance(error, _BREAKS):
                self._whole = False
                self._let_go(None, name)
            raise
        self._depth += 1
        connection: duckdb.DuckDBPyConnection | None = None
        try:
            connection = instance.cursor()
            cores = _ONE_CORE if little else ALL_CORES
            connection.execute(f"use {name}; {cores}; set wal_autocheckpoint = '{_LOG_SIZE}'")
            yield connection
        except BaseException:
            self._whole = False
            raise
        finally:
            self._depth -= 1
            self._let_go(connection, name)

    def _running(self) -> duckdb.DuckDBPyConnection:
        if self._process != os.getpid():
            # an instance does not survive a fork: its threads are gone, and to end it would wait for them
            if self._instance is not None:
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._instance))
            self._instance, self._depth, self._whole = None, 0, True
        if self._instance is None:
            # vacuuming row groups at a checkpoint can stall for a minute
            config: dict[str, str | bool | int | float | list[str]] = {
                "max_vacuum_tasks": 0,
                "memory_limit": f"{_MEMORY}B",
                "temp_directory": str(self._spill),
            }
            if self._key is not None:
                config["temp_file_encryption"] = True
            self._instance = duckdb.connect(config=config)
            self._process = os.getpid()
            # a checkpoint rewrites the last row group of every table: too dear for every single commit
            self._instance.execute("pragma disable_checkpoint_on_shutdown")
            self._instance.execute("set global TimeZone = 'UTC'")
        return self._instance

    def _let_go(self, connection: duckdb.DuckDBPyConnection | None, name: str) -> None:
        """Detaches a file; ends the instance if that fails, or if anything went wrong in it."""
        instance, self._instance = self._instance, None
        with contextlib.suppress(duckdb.Error):
            if connection is not None:
                connection.close()
            if instance is not None:
                instance.execute(f"detach {name}")
                # what was spilled is somebody's data; DuckDB removes it with the instance, which whoever has
                # another file attached still needs
                if self._depth or (self._whole and not self._spill.exists()):
                    self._instance = instance
        if self._instance is None and instance is not None:
            instance.close()
            self._whole = True
