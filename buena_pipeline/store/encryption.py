"""Encrypted DuckDB files: opened by ``ATTACH``, whose key is a parameter and never part of an SQL text.

DuckDB reads them by itself; to write them it takes the crypto of its extension ``httpfs``, which users
install once. There is no way around that here: what DuckDB has built in for it, it calls insecure itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import duckdb

from buena_pipeline.errors import StoreError
from buena_pipeline.settings import StoreKey

INSTALL: Final = "python -c \"import duckdb; duckdb.sql('INSTALL httpfs')\""
"""What users do once, with a network, before they write encrypted files."""

_LOAD_CRYPTO: Final = "load httpfs"

_STORAGE: Final = "storage_version 'v1.4.0'"


def encrypted_connection(
    path: Path,
    key: StoreKey,
    *,
    read_only: bool,
    config: Mapping[str, str | bool | int | float | list[str]],
) -> duckdb.DuckDBPyConnection:
    """A connection to an encrypted file, as ``duckdb.connect`` gives it for others.

    Args:
        path: the file; made if it is not there, unless ``read_only``.
        key: its key.
        read_only: for reading only.
        config: settings of DuckDB.

    Raises:
        StoreError: if it is to be written and the crypto is missing.
        duckdb.Error: if it cannot be opened; no message holds the key.
    """
    # what does not fit in memory is written beside the store, as without encryption, but encrypted, too
    settings = {**config, "temp_directory": f"{path}.tmp", "temp_file_encryption": True}
    connection = duckdb.connect(config=settings)
    try:
        if not read_only:
            load_crypto(connection)
        attach(connection, path, name="store", key=key, read_only=read_only)
        connection.execute("use store")
    except BaseException:
        connection.close()
        raise
    return connection


def attach(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    *,
    name: str,
    key: StoreKey | None,
    read_only: bool = False,
    block_size: int | None = None,
) -> None:
    """Attaches a file to a connection, encrypted if there is a key.

    Args:
        connection: what to attach it to; with ``load_crypto`` done if an encrypted file is to be written.
        path: the file; made if it is not there, unless ``read_only``.
        name: the name it gets in SQL.
        key: its key; None for no encryption.
        read_only: for reading only.
        block_size: of a new file, in bytes: how much it takes at least.
    """
    options, values = ["read_only" if read_only else _STORAGE], [str(path)]
    if block_size is not None:
        options.append(f"block_size {block_size}")
    if key is not None:
        options.append("encryption_key ?")
        values.append(key.text)
    connection.execute(f"attach ? as {name} ({', '.join(options)})", values)


def load_crypto(connection: duckdb.DuckDBPyConnection) -> None:
    """Makes a connection able to write encrypted files.

    Raises:
        StoreError: if the extension is not installed; says how to.
    """
    try:
        connection.execute(_LOAD_CRYPTO)
    except duckdb.Error:
        raise StoreError(
            "A key is given for the store, and to write an encrypted file DuckDB needs its extension httpfs, "
            f"which is not installed. Install it once, with a network: {INSTALL}. Reading works without."
        ) from None


def crypto_is_installed() -> bool:
    """Whether encrypted files can be written here."""
    with duckdb.connect() as connection:
        try:
            load_crypto(connection)
        except StoreError:
            return False
    return True
