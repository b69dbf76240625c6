"""The command ``ledger``: the receipt of everything a store's requests cost, and what they did not."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final

import polars as pl
import typer

from buena_pipeline.cli import options
from buena_pipeline.cli.display import amount, console, facts, frame_table
from buena_pipeline.drift import drift
from buena_pipeline.files.plain import json_ready, plain_columns
from buena_pipeline.store import EnrichmentStore

_LAST: Final = 20
_SHORT: Final = 8
"""Characters of an account's hash that tell it from others."""

_AGREES: Final = 1e-6


class _Shape(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def ledger(
    *,
    store: options.Store = None,
    shape: Annotated[
        _Shape, typer.Option("--format", help="The receipt, or all requests for a program.")
    ] = _Shape.TABLE,
    lock_timeout: options.LockTimeout = options.LOCK_TIMEOUT,
) -> None:
    """Show the receipt: credits spent, avoided and perhaps charged.

    Says whether the vendor's balance agrees, and lists the last requests.
    """
    books = EnrichmentStore(store, read_only=True, lock_timeout=lock_timeout)
    requests = books.ledger()
    match shape:
        case _Shape.TABLE:
            out = console()
            out.print(facts(describe_receipt(requests, books.runs(), now=datetime.now(UTC))))
            if requests.height:
                out.print()
                out.print(frame_table(_last_requests(requests), width=out.width, max_rows=_LAST))
        case _Shape.CSV:
            sys.stdout.buffer.write(requests.select(plain_columns(requests.schema)).write_csv().encode())
        case _Shape.JSON:
            text = json_ready(requests.lazy()).collect().write_json()
            sys.stdout.buffer.write(f"{text}\n".encode())
    sys.stdout.buffer.flush()


def describe_receipt(requests: pl.DataFrame, runs: pl.DataFrame, *, now: datetime) -> list[tuple[str, str]]:
    """What was spent and what was not, line by line.

    Args:
        requests: of ``EnrichmentStore.ledger``.
        runs: of ``EnrichmentStore.runs``.
        now: the time, with a time zone; a request in flight beyond its lease is of unknown outcome.
    """
    in_flight, lease_over = (
        pl.col("state") == "in flight",
        (pl.col("lease_until") < now).fill_null(value=False),
    )
    unknown = requests.filter((pl.col("state") == "unknown") | (in_flight & lease_over))
    flying = requests.filter(in_flight & ~lease_over)
    unanswered = requests.filter(pl.col("state") == "charged")
    answered = requests.filter(pl.col("state") == "answered")
    avoided = [runs[f"avoided_by_{what}"].sum() for what in ("duplicates", "store", "failures")]
    lines = [
        ("runs", f"{runs.height:,}"),
        ("requests", f"{requests.height:,}{f', {flying.height:,} on their way' if flying.height else ''}"),
        ("credits used", _total(answered, "credits_used")),
        (
            "avoided",
            "{:,} by duplicates, {:,} by the store, {:,} by remembered failures".format(*avoided),
        ),
    ]
    if unknown.height:
        most = f"{_total(unknown, 'credits_reserved')} credits at most"
        lines.append(("perhaps charged", f"{_extent(unknown)}, {most}"))
    if unanswered.height:
        cost = f"{_total(unanswered, 'credits_used')} credits"
        lines.append(("no answer", f"{_extent(unanswered)}, charged {cost}"))
    return lines + _describe_drift(drift(requests), _outside(requests, unknown))


def _total(requests: pl.DataFrame, column: str) -> str:
    return amount(float(requests[column].sum()))


def _extent(requests: pl.DataFrame) -> str:
    return f"{requests['people'].sum():,} people in {requests.height:,} requests"


def _outside(requests: pl.DataFrame, unknown: pl.DataFrame) -> dict[str | None, int]:
    """By account, the people of requests of unknown outcome that no balance is known before, or after."""
    telling = requests.filter((pl.col("state") == "answered") & pl.col("credits_remaining").is_not_null())
    known = telling.group_by("account").agg(since=pl.col("closed_at").min(), until=pl.col("sent_at").max())
    outside = (
        unknown.join(known, on="account", how="left", nulls_equal=True)
        .filter((pl.col("sent_at") < pl.col("since")) | (pl.col("sent_at") > pl.col("until")))
        .group_by("account")
        .agg(pl.col("people").sum())
    )
    return dict(outside.select("account", "people").iter_rows())  # a handful of accounts


def _describe_drift(accounts: pl.DataFrame, outside: dict[str | None, int]) -> list[tuple[str, str]]:
    """Whether the vendor's balance agrees, for each account: there are few."""
    lines = []
    for account, difference, topped_up in accounts.select("account", "drift", "topped_up").rows():
        name = (
            f"balance of {account[:_SHORT] if account else 'no account'}"
            if accounts.height > 1
            else "balance"
        )
        added = f"; {amount(topped_up)} credits were added meanwhile" if topped_up else ""
        lines.append((name, f"{_in_words(difference, outside.get(account, 0))}{added}"))
    return lines


def _in_words(difference: float | None, outside: int) -> str:
    if difference is None:
        return "fewer than two answers tell it: there is nothing to compare yet"
    if abs(difference) < _AGREES and outside:
        return (
            f"the vendor's balance agrees with the answers; whether {outside:,} people were charged it "
            "cannot tell, as no answer tells the balance both before and after their requests"
        )
    if abs(difference) < _AGREES:
        return "the vendor's balance agrees with the ledger"
    if difference < 0:
        return f"the balance fell by {amount(-difference)} credits less than the ledger says"
    return (
        f"the balance fell by {amount(difference)} credits more than the answers say: "
        "somebody else uses the account, or requests of unknown outcome were charged"
    )


def _last_requests(requests: pl.DataFrame) -> pl.DataFrame:
    """The requests as people read them, newest first."""
    return requests.reverse().select(
        sent=pl.col("sent_at").dt.strftime("%Y-%m-%d %H:%M:%S"),
        state="state",
        people="people",
        reserved="credits_reserved",
        used="credits_used",
        left="credits_remaining",
        reason="reason",
    )
