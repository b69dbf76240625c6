"""Encrypted DuckDB files: opened by ``ATTACH``, whose key is a parameter and never part of an SQL text.

DuckDB reads them by itself; to write them it takes the crypto of its extension ``httpfs``, which users
install once. There is no way around that here: what DuckDB has built in for it, it calls insecure itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import duckdb

from buena_pipeline.errors import StoreError
from buena_pipeline.settings import StoreKey

INSTALL: Final = "python -c \"import duckdb; duckdb.sql('INSTALL httpfs')\""
"""What users do once, with a network, before they write encrypted files."""

_LOAD_CRYPTO: Final = "load httpfs"

MEMORY: Final = ":memory:"
"""The path of a database without a file, where nothing is to be encrypted."""

_STORAGE: Final = "storage_version 'v1.4.0'"


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
    options, values = [], [str(path)]
    if read_only:
        options.append("read_only")
    elif not path.exists():  # an existing file keeps its own, also one that somebody wrote anew
        options.append(_STORAGE)
    if block_size is not None:
        options.append(f"block_size {block_size}")
    if key is not None and str(path) != MEMORY:
        options.append("encryption_key ?")
        values.append(key.text)
    how = f" ({', '.join(options)})" if options else ""
    connection.execute(f"attach ? as {name}{how}", values)


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
