"""Text sealed with the key of a store: the bytes of a small encrypted DuckDB file, for the same crypto."""

from __future__ import annotations

import contextlib
import errno
import tempfile
from pathlib import Path
from typing import Final

import duckdb

from buena_pipeline.settings import StoreKey
from buena_pipeline.store.encryption import attach, load_crypto

_BLOCK_SIZE: Final = 16_384
"""The smallest that DuckDB has."""


def sealed(text: str, key: StoreKey, *, spare: Path | None = None) -> bytes:
    """Encrypts a text.

    Args:
        text: any text.
        key: the store's key.
        spare: a folder to work in where the system's temporary folder has no room; what is written there is
            encrypted already, and gone again when this returns.

    Returns:
        Bytes that only ``unsealed`` with the same key makes the text of again.

    Raises:
        OSError: if neither folder has room.
        StoreError: if the crypto to write encrypted files is not installed.
    """
    with contextlib.suppress(OSError):
        return _sealed(text, key, folder=None)
    return _sealed(text, key, folder=spare)


def unsealed(data: bytes, key: StoreKey, *, spare: Path | None = None) -> str:
    """Decrypts what ``sealed`` made.

    Args:
        data: the bytes.
        key: the store's key.
        spare: as for ``sealed``.

    Returns:
        The text.

    Raises:
        ValueError: if the bytes are not as they were made, or were made with another key.
        OSError: if neither folder has room.
    """
    with contextlib.suppress(OSError):
        return _unsealed(data, key, folder=None)
    return _unsealed(data, key, folder=spare)


def _sealed(text: str, key: StoreKey, *, folder: Path | None) -> bytes:
    try:
        with tempfile.TemporaryDirectory(prefix="buena-", dir=folder) as room:
            path = Path(room) / "sealed"
            with duckdb.connect() as connection:
                load_crypto(connection)
                attach(connection, path, name="box", key=key, block_size=_BLOCK_SIZE)
                connection.execute("create table box.sealed as select ?::varchar as text", [text])
                connection.execute("checkpoint box")
            return path.read_bytes()
    except duckdb.Error:
        # not its own text, which may quote what was to be sealed
        raise OSError(errno.ENOSPC, "an encrypted file cannot be written", str(folder)) from None


def _unsealed(data: bytes, key: StoreKey, *, folder: Path | None) -> str:
    with tempfile.TemporaryDirectory(prefix="buena-", dir=folder) as room, duckdb.connect() as connection:
        path = Path(room) / "sealed"
        path.write_bytes(data)
        try:
            attach(connection, path, name="box", key=key, read_only=True)
            ((text,),) = connection.execute("select text from box.sealed").fetchall()
        except (duckdb.Error, ValueError):
            raise ValueError("These bytes were not sealed with this key, or were changed since.") from None
    return str(text)
