"""Whether everything is in place for a run: versions, key, API, permissions, store. Costs nothing."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import polars as pl

from buena_pipeline import __version__
from buena_pipeline.cli.display import amount
from buena_pipeline.client import BuenaClient
from buena_pipeline.errors import BuenaError
from buena_pipeline.settings import resolve_api_key, resolve_base_url, resolve_store_key, resolve_store_path
from buena_pipeline.store import EnrichmentStore
from buena_pipeline.store.encryption import INSTALL, crypto_is_installed
from buena_pipeline.store.integrity import RESOLVE_THEMSELVES
from buena_pipeline.store.migrations import SCHEMA_VERSION

_PACKAGES: Final = ("polars", "duckdb", "httpx", "pyarrow")
_EXTRAS: Final = {
    "typer": "cli",
    "fastexcel": "cli",
    "xlsxwriter": "cli",
    "starlette": "sandbox",
    "uvicorn": "sandbox",
    "altair": "report",
    "great-tables": "report",
    "vl-convert-python": "report",
}
_API_VERSION: Final = "2."
_KEY_FORM: Final = re.compile(r"bna_[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: how it is, and what to do if it is not as it should be."""

    level: Literal["ok", "warn", "fail"]
    name: str
    finding: str
    advice: str = ""


def examine(store: Path | None = None, *, lock_timeout: float = 5.0) -> Iterator[Check]:
    """Look at everything a run needs, the quick things first.

    Args:
        store: the store's file; default as for a run.
        lock_timeout: seconds to wait while others hold the store.

    Yields:
        The checks, each when it is made. None of them shows the key.

    Example:
        >>> next(iter(examine())).level
        'ok'
    """
    yield from _versions()
    yield from _api()
    yield from _encryption()
    yield from _store(resolve_store_path(store), lock_timeout)


def _versions() -> Iterator[Check]:
    """The versions of what runs here."""
    core = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    yield Check("ok", "versions", f"buena-pipeline {__version__}, Python {platform.python_version()}, {core}")
    if unfit := list(unfit_packages(requires("buena-pipeline") or [])):
        yield Check(
            "fail",
            "versions",
            "; ".join(f"{name} {found} is installed, {wanted} is needed" for name, found, wanted in unfit),
            "pip install --upgrade buena-pipeline, in an environment of its own",
        )
    missing = sorted({extra for name, extra in _EXTRAS.items() if not _installed(name)})
    if missing:
        extras = ",".join(missing)
        yield Check(
            "warn",
            "extras",
            f"not installed: {extras}",
            f'pip install "buena-pipeline[{extras}]", if you need it',
        )


def unfit_packages(requirements: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """The packages that are installed in a version that does not do.

    Args:
        requirements: as the metadata of a package has them; those of packages that are not here are left out.

    Yields:
        Name, version that is here, and versions that do.

    Example:
        >>> [name for name, _, _ in unfit_packages(["polars<0.1", "httpx>=0.1", "no-such-package>=1"])]
        ['polars']
    """
    for requirement in requirements:
        match = re.match(r"([\w.-]+)(?:\[[^\]]*\])?\s*([<>=!~.,\d\s]*)", requirement)
        if match is None or not _installed(match[1]):
            continue
        found = _numbers(version(match[1]))
        bounds = re.findall(r"(>=|<)\s*(\d+(?:\.\d+)*)", match[2])
        if any((found < _numbers(bound)) == (sign == ">=") for sign, bound in bounds):
            yield match[1], version(match[1]), match[2].strip()


def _numbers(text: str) -> tuple[int, ...]:
    """A version as numbers that can be compared."""
    numbers = [int(number) for number in re.findall(r"\d+", text.partition("+")[0])]
    return tuple(numbers + [0] * (4 - len(numbers)))


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _api() -> Iterator[Check]:
    """Key, base URL, and what the vendor says of them."""
    key = os.environ.get("BUENA_API_KEY", "").strip()
    if not key:
        yield Check("fail", "key", "not set", "export BUENA_API_KEY=bna_..., from the vendor's settings page")
        return
    try:
        resolve_api_key(None)
    except BuenaError as error:
        yield Check("fail", "key", str(error))
        return
    form = "of the form bna_ + 64 hex digits" if _KEY_FORM.fullmatch(key) else "of an older form"
    yield Check("ok", "key", f"set, {form}")
    try:
        url = resolve_base_url(None)
        if url.startswith("http://") and not _is_loopback(urlsplit(url).hostname or ""):
            yield Check("warn", "base URL", f"{url} is not encrypted", "use https://, or the key can be read")
        with BuenaClient(timeout=10.0) as client:
            health = client.health()
    except BuenaError as error:
        yield Check("fail", "API", str(error))
        return
    healthy = health.status == "healthy"
    yield Check(
        "ok" if healthy else "warn",
        "API",
        f"{health.status}, version {health.version}, at {url}",
        "" if healthy else "the vendor has trouble: runs may defer people",
    )
    if not health.version.startswith(_API_VERSION):
        yield Check(
            "warn",
            "API",
            f"version {health.version}; this release was made for {_API_VERSION}x",
            "pip install --upgrade buena-pipeline",
        )
    if health.may_enrich:
        yield Check("ok", "permissions", ", ".join(health.permissions))
    else:
        yield Check(
            "fail",
            "permissions",
            f"the key may not enrich; it has {', '.join(health.permissions) or 'none'}",
            "give it leads:enrich on the vendor's settings page",
        )


def _is_loopback(host: str) -> bool:
    """Whether the host is this machine, so that nobody can read along."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _encryption() -> Iterator[Check]:
    """Whether an encrypted store can be written, if there is a key for one."""
    try:
        if resolve_store_key(None) is None:
            return
    except BuenaError as error:
        yield Check("fail", "encryption", str(error))
        return
    if crypto_is_installed():
        yield Check("ok", "encryption", "a key is set, and DuckDB's extension httpfs is there")
    else:
        yield Check(
            "fail", "encryption", "the store can be read, but not written: httpfs is missing", INSTALL
        )


def _store(path: Path, lock_timeout: float) -> Iterator[Check]:
    """Whether the store can be opened, what is in it, and whether it is whole."""
    if not path.exists():
        if path.parent.is_dir() and os.access(path.parent, os.W_OK):
            yield Check("ok", "store", f"{path}: not there yet; the first run creates it")
            return
        yield Check(
            "fail", "store", f"{path} cannot be created", "create its folder, or name another with --store"
        )
        return
    try:
        store = EnrichmentStore(path, read_only=True, lock_timeout=lock_timeout)
        stats = store.stats()
        schema = store.sql("select max(value::int) from meta where name = 'schema_version'").item()
        checks = store.check()
    except BuenaError as error:
        yield Check("fail", "store", str(error))
        return
    older = f" (the next run raises it to {SCHEMA_VERSION})" if schema < SCHEMA_VERSION else ""
    yield Check(
        "ok",
        "store",
        f"{path}: schema version {schema}{older}, {stats.people:,} people, {stats.failures:,} not found, "
        f"{stats.requests:,} requests, {amount(stats.credits_used)} credits, {stats.file_bytes / 1e6:.1f} MB",
    )
    if not (os.access(path, os.W_OK) and os.access(path.resolve().parent, os.W_OK)):
        yield Check(
            "fail",
            "store",
            f"{path} or its folder is write-protected: it can be read, but nothing bought",
            "make both writable, or name another with --store",
        )
    yield from _integrity(checks)


def _integrity(checks: pl.DataFrame) -> Iterator[Check]:
    """What is wrong with the store, one line each; one line if nothing is."""
    failed = checks.filter(~pl.col("ok"))
    if failed.is_empty():
        yield Check("ok", "integrity", f"{checks.height} checks")
    for name, detail in failed.select("check", "detail").iter_rows():  # a handful of checks, no leads
        if name in RESOLVE_THEMSELVES:
            yield Check("warn", "integrity", f"{name}: {detail}")
        else:
            yield Check("fail", "integrity", f"{name}: {detail}", "copy the store away before the next run")
