"""Commands for the people in the store: ``forget``, ``suppress``, ``retention``. None says who is meant."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from buena_pipeline.cli import options
from buena_pipeline.cli.display import console
from buena_pipeline.errors import InputError
from buena_pipeline.files import read_table
from buena_pipeline.store import EnrichmentStore
from buena_pipeline.store.subjects import unusable_rows

Who = Annotated[
    list[str] | None,
    typer.Argument(metavar="WHO...", help="E-mail addresses or LinkedIn profile URLs.", show_default=False),
]
Source = Annotated[
    Path | None,
    typer.Option("--from", metavar="FILE", help="A table with one person a row.", show_default=False),
]
SkipUnusable = Annotated[
    bool, typer.Option("--skip-unusable", help="Leave out rows of FILE that identify nobody.")
]
Confirmed = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def forget(
    who: Who = None,
    *,
    source: Source = None,
    column: options.Column = None,
    skip_unusable: SkipUnusable = False,
    store: options.Store = None,
    yes: Confirmed = False,
    lock_timeout: options.LockTimeout = options.LOCK_TIMEOUT,
) -> None:
    """Erase people from the store, down to the bytes of its file.

    The ledger keeps what they cost. To keep them from being bought again, suppress them first.
    """
    people, columns = _people(who, source, column, skip_unusable=skip_unusable)
    place = EnrichmentStore(store, lock_timeout=lock_timeout)
    _confirm(f"Erase these people from {place.path} for good, with all that was paid for them?", yes=yes)
    _say(_count(place.forget(people, columns=columns), "person", "people") + " forgotten")


def suppress(
    who: Who = None,
    *,
    source: Source = None,
    column: options.Column = None,
    skip_unusable: SkipUnusable = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take them off the list.")] = False,
    store: options.Store = None,
    lock_timeout: options.LockTimeout = options.LOCK_TIMEOUT,
) -> None:
    """Put people on the list of those who must not be enriched.

    The list holds keyed hashes of what identifies them, nothing else. What the store has of them stays:
    forget erases it.
    """
    people, columns = _people(who, source, column, skip_unusable=skip_unusable)
    place = EnrichmentStore(store, lock_timeout=lock_timeout)
    if undo and not place.path.exists():  # a mistyped name must not look like success
        EnrichmentStore(store, read_only=True, lock_timeout=lock_timeout).suppressed()
    made = not place.path.exists()
    changed = (place.unsuppress if undo else place.suppress)(people, columns=columns)
    _say(
        f"{_count(changed, 'identifier')} {'taken off' if undo else 'added to'} the list, "
        f"which has {place.suppressed():,} now"
    )
    if made:
        _say(f"new store made: {place.path}", stderr=True)


def retention(
    *,
    older_than: Annotated[str, typer.Option(metavar="AGE", help="What is older goes: 365d, 52w.")],
    store: options.Store = None,
    yes: Confirmed = False,
    lock_timeout: options.LockTimeout = options.LOCK_TIMEOUT,
) -> None:
    """Erase answers older than an age, and people of whom nothing younger is there.

    The ledger keeps what they cost.
    """
    age = options.parse_duration(older_than, option="--older-than")
    if age is None:
        raise InputError("--older-than takes an age, such as 365d.")
    place = EnrichmentStore(store, lock_timeout=lock_timeout)
    _confirm(f"Erase all that is older than {older_than.strip()} from {place.path} for good?", yes=yes)
    _say(_count(place.retention(age), "person", "people") + " erased, in whole or in part")


def _people(
    who: list[str] | None, source: Path | None, column: list[str] | None, *, skip_unusable: bool
) -> tuple[Any, dict[str, str | list[str] | None] | None]:
    """Who is meant, and which columns say so."""
    if who and source:
        raise InputError("Say who by WHO or by --from FILE, not by both. Nothing was changed.")
    if skip_unusable and not source:
        raise InputError("--skip-unusable is about the rows of a table: it takes --from FILE.")
    columns = options.parse_columns(column or ())
    if source is None:
        if not who:
            raise InputError(
                "Say who: e-mail addresses or LinkedIn profile URLs, or a table with --from FILE."
            )
        return who, columns
    table = read_table(source)
    if skip_unusable:
        unusable = unusable_rows(table, columns)
        if table.height and unusable.all():
            raise InputError(f"No row of {source} identifies anybody. Nothing was changed.")
        if unusable.any():
            number = _count(int(unusable.sum()), "row identifies", "rows identify")
            _say(f"{number} nobody; left out", stderr=True)
        table = table.filter(~unusable)
    return table, columns


def _confirm(question: str, *, yes: bool) -> None:
    """Asks, where there is somebody to answer."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError(
            "This cannot be undone, and nobody is there to be asked: add --yes. Nothing was changed."
        )
    try:
        confirmed = typer.confirm(question, err=True)
    except typer.Abort:
        confirmed = False
    if not confirmed:
        raise InputError("Not confirmed. Nothing was changed.")


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def _say(text: str, *, stderr: bool = False) -> None:
    console(stderr=stderr).print(text, soft_wrap=True)
