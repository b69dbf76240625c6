"""A second file with all that is in the store, of one moment, while others go on using it."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from buena_pipeline.errors import InputError, StoreError
from buena_pipeline.store.database import Database, sync

_PIECE: Final = 1 << 20
"""Bytes that are copied at a time."""


def require_free(target: Path) -> None:
    """Makes sure that nothing is in the way of a backup.

    Args:
        target: where it goes.

    Raises:
        InputError: if something is there already, a log of a file that was there, or there is no such folder.
    """
    if os.path.lexists(target):
        raise InputError(f"{target} is there already, and a backup replaces nothing: name another file.")
    log = target.with_name(f"{target.name}.wal")
    if os.path.lexists(log):  # DuckDB would take it for the backup's
        raise InputError(
            f"{log} is there, the log of a store that is not: beside a backup of that name it would be taken "
            "for its own. Remove it, or name another file."
        )
    if not target.parent.is_dir():
        raise InputError(f"The folder {target.parent} for the backup does not exist: create it.")


def back_up(database: Database, target: Path) -> None:
    """Copies the file as it is, encrypted if it is; who wants to use it meanwhile waits.

    Args:
        database: the file.
        target: where the copy goes; readable by its owner only, and whole or not there.

    Raises:
        InputError: as ``require_free`` does.
        StoreError: if there is no store yet, or the copy cannot be written.
    """
    require_free(target)
    draft = target.with_name(f".buena-{secrets.token_hex(4)}.partial")
    try:
        with ExitStack() as later, database.exclusive():
            # closed last: with it go the locks that DuckDB has on the file
            source = later.enter_context(database.path.open("rb"))
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as copy:
                shutil.copyfileobj(source, copy, _PIECE)
        sync(draft)
        draft.rename(target)
        sync(target.parent)
    except OSError as error:
        raise StoreError(
            f"The backup {target} cannot be written: {error.strerror or type(error).__name__}. "
            "Nothing is left of it, and the store is as before.",
            path=str(database.path),
        ) from None
    finally:
        draft.unlink(missing_ok=True)
