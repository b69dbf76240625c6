"""What a user can set: the vendor's four flags, the request limits, and where key, API and store are."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import urlsplit

from buena_pipeline.errors import SettingsError
from buena_pipeline.schema import BLOCKS

PRODUCTION_URL = "https://api.buena.ai/api/v2"

_VENDORS_DOMAIN = ".buena.ai"


@dataclass(frozen=True, slots=True)
class EnrichmentOptions:
    """Which blocks of fields to buy: the vendor's four flags, with the vendor's defaults.

    Args:
        personal: name, location, experience, skills and bio.
        company: the ``company_*`` columns.
        social: the ``social_*`` columns.
        contact: phone and alternative e-mail addresses.

    Raises:
        SettingsError: if a flag is not a boolean, or none is set: there would be nothing to buy.

    Example:
        >>> EnrichmentOptions(social=True).blocks
        ('personal', 'company', 'social', 'contact')
        >>> EnrichmentOptions.of(["company"])
        EnrichmentOptions(personal=False, company=True, social=False, contact=False)

    Rests on ``EnrichmentOptions`` of ``POST /enrich``.
    """

    personal: bool = True
    company: bool = True
    social: bool = False
    contact: bool = True

    def __post_init__(self) -> None:
        for field in fields(self):
            if not isinstance(getattr(self, field.name), bool):
                raise SettingsError(f"EnrichmentOptions({field.name}=...) takes True or False.")
        if not self.blocks:
            raise SettingsError(
                "All four enrichment options are off, so there is nothing to buy: "
                f"switch on at least one of {', '.join(BLOCKS)}."
            )

    @property
    def blocks(self) -> tuple[str, ...]:
        """The blocks that are switched on, in the order of ``schema.BLOCKS``."""
        return tuple(block for block in BLOCKS if getattr(self, block))

    @classmethod
    def of(cls, blocks: object) -> EnrichmentOptions:
        """The options that ask for exactly these blocks.

        Args:
            blocks: names out of ``personal``, ``company``, ``social``, ``contact``.

        Raises:
            SettingsError: if a name is not one of the four.
        """
        names = [blocks] if isinstance(blocks, str) or not isinstance(blocks, Iterable) else list(blocks)
        if unknown := sorted({str(name) for name in names if name not in BLOCKS}):
            raise SettingsError(f"No such block: {', '.join(unknown)}. Name some of {', '.join(BLOCKS)}.")
        return cls(**{block: block in names for block in BLOCKS})


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Requests an API key may send in which time, all limits at once; None lifts one.

    Args:
        minute: requests in any minute.
        hour: requests in any hour.
        day: requests in any 24 hours.

    Raises:
        SettingsError: if a limit is not a whole number from 1 on.

    Example:
        >>> RateLimits(minute=10, day=None)
        RateLimits(minute=10, hour=1000, day=None)

    Rests on the vendor's request limits per key.
    """

    minute: int | None = 60
    hour: int | None = 1_000
    day: int | None = 10_000

    def __post_init__(self) -> None:
        for field in fields(self):
            limit = getattr(self, field.name)
            if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
                raise SettingsError(
                    f"RateLimits({field.name}=...) takes a whole number from 1 on, or None for no limit."
                )


def resolve_api_key(api_key: str | None) -> str:
    """The API key from the argument, else from ``BUENA_API_KEY``; raises SettingsError if there is none."""
    if not isinstance(api_key, str | None):
        raise SettingsError(f"The API key is text, such as bna_..., not {type(api_key).__name__}.")
    key = (api_key or os.environ.get("BUENA_API_KEY", "")).strip()
    if not key:
        raise SettingsError(
            "No API key, so nothing was sent: set the environment variable BUENA_API_KEY to the key from the "
            "vendor's settings page (export BUENA_API_KEY=bna_...), or pass client=BuenaClient(api_key=...). "
            'Without a key, try the sandbox: "buena-pipeline demo".'
        )
    if "://" in key:
        raise SettingsError(
            "The API key is a URL. The address of the API goes into BUENA_BASE_URL, or base_url=; the key "
            "begins with bna_."
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise SettingsError(
            "The API key has characters that no HTTP header can carry (spaces, line breaks or non-ASCII): "
            "copy it again from the vendor's settings page."
        )
    return key


def resolve_base_url(base_url: str | None) -> str:
    """The API's base URL from the argument, else ``BUENA_BASE_URL``, else the vendor's production API."""
    if not isinstance(base_url, str | None):
        raise SettingsError(f"The base URL is text, such as {PRODUCTION_URL}, not {type(base_url).__name__}.")
    url = (base_url or os.environ.get("BUENA_BASE_URL", "") or PRODUCTION_URL).strip().rstrip("/")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    else:
        host = host if all(host.split(".")) and host.isprintable() else ""
    # not shown: whatever stands in the place of the URL may be a secret
    if not host or parts.scheme not in ("http", "https"):
        raise SettingsError(
            "The base URL (BUENA_BASE_URL) is not one: it takes https:// or http://, a host and a path. "
            f"Default: {PRODUCTION_URL}"
        )
    if parts.scheme == "http" and f".{host}".endswith(_VENDORS_DOMAIN):
        raise SettingsError(
            "The base URL (BUENA_BASE_URL) has http:// where the vendor's API has https://: the key would "
            f"travel for everybody to read. Default: {PRODUCTION_URL}"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise SettingsError(
            "The base URL (BUENA_BASE_URL) holds more than host and path: leave out user, password and "
            "query; the key goes into BUENA_API_KEY."
        )
    return url


def resolve_store_path(path: str | os.PathLike[str] | None) -> Path:
    """The store's file from the argument, else ``BUENA_STORE``, else ``buena.duckdb`` where one works."""
    place = Path(path or os.environ.get("BUENA_STORE", "") or "buena.duckdb")
    try:
        return place.expanduser()
    except RuntimeError:
        raise SettingsError(
            f"The path {place} of the store begins with the home folder of somebody who is not known here: "
            "write it out."
        ) from None


@dataclass(frozen=True, slots=True, repr=False)
class StoreKey:
    """The key of an encrypted store, which no repr, log or traceback shows.

    Args:
        text: printable ASCII without backslashes, which DuckDB would take for escapes, and without white
            space around it, as a line read from a file has.

    Raises:
        SettingsError: for any other text, and for none.
    """

    text: str

    def __post_init__(self) -> None:
        text: object = self.text
        usable = isinstance(text, str) and text.isascii() and text.isprintable() and "\\" not in text
        if not usable or not self.text or self.text != self.text.strip():
            raise SettingsError(
                "The key of the store (encryption_key= or BUENA_STORE_KEY) must be printable ASCII without "
                "backslashes and without white space around it, such as openssl rand -base64 32 makes it."
            )

    def __repr__(self) -> str:
        return "StoreKey(...)"


def resolve_store_key(key: str | None) -> StoreKey | None:
    """The key of an encrypted store from the argument, else ``BUENA_STORE_KEY``; None for no encryption."""
    if key is None:
        key = os.environ.get("BUENA_STORE_KEY") or None
    return None if key is None else StoreKey(key)
