"""Everything this library raises on purpose: one tree, so that one ``except BuenaError`` is enough.

    BuenaError
    ├── InputError            the table, a file or an argument cannot be used; nothing was sent
    │   ├── ColumnError       a column is missing, ambiguous, nested or in the way
    │   └── FileFormatError   a file cannot be read or written
    ├── SettingsError         a setting is missing or malformed
    │   └── MissingExtraError an optional part of the library is not installed
    ├── VendorError           the vendor's API stops the whole run
    │   ├── AuthenticationError   401: the key is wrong
    │   ├── PermissionDeniedError 403: the key may not do this
    │   └── UnreachableError      nobody answers at the base URL
    └── StoreError            the DuckDB file cannot be used
        ├── StoreLockedError  another process holds it
        ├── NotAStoreError    the file is something else
        ├── StoreDamagedError the file, or the log beside it, cannot be read
        ├── EncryptionKeyError the key of an encrypted store is missing, wrong, or not needed
        ├── StoreVersionError it was written by a newer release
        └── QueryError        a user's SQL does not run

What happens to single leads (not found, refused, out of credits) is never raised: it is a status and a
reason on the lead's rows. No message carries an API key or a lead's data.
"""

from __future__ import annotations


class BuenaError(Exception):
    """Base class of all errors of this library."""


class InputError(BuenaError, ValueError):
    """The table, a file or an argument cannot be used as it is; nothing was sent, nothing was paid."""


class ColumnError(InputError):
    """A column is missing, ambiguous, of a nested type, or in the way of one that would be added.

    Attributes:
        columns: the names of the columns it is about.
    """

    def __init__(self, message: str, *, columns: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.columns = columns


class FileFormatError(InputError):
    """A file cannot be read, or is not written because its ending names no known format."""


class SettingsError(BuenaError, ValueError):
    """A setting is missing or malformed, such as an API key that was never given."""


class MissingExtraError(SettingsError, ImportError):
    """An optional part of the library is used whose packages are not installed."""

    @classmethod
    def for_extra(cls, what: str, extra: str) -> MissingExtraError:
        """The error for ``what``, which needs ``pip install "buena-pipeline[extra]"``."""
        return cls(f'{what} needs packages that are not installed: pip install "buena-pipeline[{extra}]"')


class VendorError(BuenaError):
    """The vendor's API stops the whole run; answers that came before it are in the store."""


class AuthenticationError(VendorError):
    """The vendor does not know the API key (HTTP 401)."""


class PermissionDeniedError(VendorError):
    """The API key lacks a permission (HTTP 403).

    Attributes:
        required: the permission the vendor asks for, such as ``leads:enrich``.
        available: the permissions the key has.
    """

    def __init__(self, message: str, *, required: str | None = None, available: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.required = required
        self.available = available


class UnreachableError(VendorError):
    """Nobody answers at the base URL; nothing was sent."""


class StoreError(BuenaError):
    """The DuckDB store cannot be used.

    Attributes:
        path: the file it is about.
    """

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class StoreLockedError(StoreError):
    """Another process holds the store and did not let go of it in time."""


class NotAStoreError(StoreError):
    """The file exists but is not a store of this library, or not a DuckDB file at all."""


class StoreDamagedError(StoreError):
    """The store's file, or the log beside it, cannot be read as it was written."""


class EncryptionKeyError(StoreError):
    """An encrypted store is opened without its key or with another one, or a plain store with one."""


class StoreVersionError(StoreError):
    """The store was written by a newer release of this library."""


class QueryError(StoreError):
    """A user's SQL query does not run."""
