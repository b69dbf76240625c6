"""How commands run the library: an enricher from texts, the demo's vendor, what a run's end means."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NoReturn

import polars as pl
import typer

import buena_pipeline
from buena_pipeline.cli.display import console, describe_report, facts, short_path
from buena_pipeline.cli.exits import INTERRUPTED, PARTIAL, TERMINATED
from buena_pipeline.cli.options import MAX_WAIT, parse_columns, parse_duration, parse_priority
from buena_pipeline.cli.wording import lines_on_the_shell
from buena_pipeline.client import BuenaClient, account_name
from buena_pipeline.enrich import Enricher
from buena_pipeline.errors import FileFormatError, InputError
from buena_pipeline.interrupt import Interrupted, Terminated
from buena_pipeline.result import EnrichmentReport
from buena_pipeline.schema import ENRICHED
from buena_pipeline.score import score_frame
from buena_pipeline.scoring_model import ScoringModel
from buena_pipeline.settings import EnrichmentOptions
from buena_pipeline.store import EnrichmentStore

_FOR_EVER: Final = timedelta(days=365)
_TOP: Final = 10


def make_enricher(
    table: pl.LazyFrame,
    *,
    store: EnrichmentStore,
    blocks: str,
    column: Sequence[str] | None,
    max_age: str,
    retry_failed_after: str,
    retry_unknown: bool = False,
    max_credits: float | None,
    daily_credits: float | None = None,
    priority: str | None,
    prefix: str,
    client: BuenaClient | None = None,
    max_wait: str = MAX_WAIT,
    progress: Callable[[Any], None] | None = None,
) -> Enricher:
    """The enricher that a command's options describe; raises InputError for an option that says nothing."""
    wait = parse_duration(max_wait, option="--max-wait")
    return Enricher(
        client,
        store,
        columns=parse_columns(column or ()),
        options=EnrichmentOptions.of([block.strip() for block in blocks.split(",") if block.strip()]),
        max_age=parse_duration(max_age, option="--max-age"),
        retry_failed_after=parse_duration(retry_failed_after, option="--retry-failed-after"),
        retry_unknown=retry_unknown,
        max_credits=max_credits,
        daily_credits=daily_credits,
        priority=parse_priority(table, priority),
        max_wait=_FOR_EVER if wait is None else wait,
        prefix=prefix,
        progress=progress,
    )


def load_model(path: Path | None) -> ScoringModel:
    """The scoring model of a file, or the vendor's example."""
    return ScoringModel.from_toml(path) if path else ScoringModel()


def make_scorer(
    table: pl.LazyFrame, *, model: Path | None, prefix: str
) -> Callable[[pl.LazyFrame], pl.LazyFrame]:
    """What scores the table once it is enriched; rehearsed on no rows, because by then it will have cost."""
    scoring = load_model(model)
    added = {prefix + name: dtype for name, dtype in ENRICHED.items()}
    score_frame(pl.DataFrame(schema={**table.collect_schema(), **added}), model=scoring, prefix=prefix)
    return lambda frame: score_frame(frame, model=scoring, prefix=prefix)


def end_run(report: EnrichmentReport) -> None:
    """The exit code of a run: people were deferred, and perhaps because nobody answers at all."""
    if not report.deferred:
        return
    heard_nothing = report.requests and not report.unknown and report.credits_remaining is None
    if heard_nothing and not report.resume_at:
        with BuenaClient(timeout=10) as client:
            client.health()
    raise typer.Exit(PARTIAL)


def end_early(stop: Interrupted | Terminated) -> NoReturn:
    """Says how far an interrupted run came, and ends the process with the exit code of its signal.

    Not by way of ``sys.exit``: that would wait for requests whose answers nobody waits for any more.
    """
    messages = console(stderr=True)
    messages.print(facts(lines_on_the_shell(describe_report(stop.report))))
    messages.print(
        "stopped: what was bought is in the store; the same command goes on from there", soft_wrap=True
    )
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(TERMINATED if isinstance(stop, Terminated) else INTERRUPTED)


def sandbox_client(stack: ExitStack, rows: int, store: EnrichmentStore) -> BuenaClient:
    """A client of a sandbox that runs as long as the stack, without limits and with credits enough.

    Raises:
        InputError: as ``require_invented`` does.
    """
    from buena_pipeline.sandbox import Sandbox

    vendor = stack.enter_context(Sandbox(limits=None, credits=max(100_000, rows)))
    client = BuenaClient(vendor.api_key, vendor.url, limits=None)
    stack.callback(client.close)
    require_invented(store, client, vendor.api_key)
    return client


def require_invented(store: EnrichmentStore, client: BuenaClient, vendor_key: str) -> None:
    """Check that invented people do not come among others.

    Args:
        store: where they would go.
        client: of a sandbox.
        vendor_key: the key that the sandbox takes.

    Raises:
        InputError: if the store holds requests of an account that is no such sandbox of this machine.
    """
    if not store.path.exists():
        return
    before, _, after = client.base_url.rpartition(":")
    path = after.lstrip("0123456789")  # each sandbox listens where there is room
    sandboxes = [account_name(f"{before}:{port}{path}", vendor_key) for port in range(1, 2**16)]
    books = EnrichmentStore(store.path, read_only=True)
    accounts = books.ledger().select("account").unique()
    if accounts.filter(~pl.col("account").is_in(sandboxes).fill_null(value=False)).height:
        raise InputError(
            f"{short_path(store.path)} holds requests of another account, where the demo's invented people "
            "do not belong. Nothing was changed. Leave --store out, or name another file; --live buys from "
            "the vendor."
        )


def example_leads() -> Path:
    """The example table, in a wheel's package or in a checkout."""
    package = Path(buena_pipeline.__file__).parent
    for folder in (package, package.parent):
        if (path := folder / "examples" / "leads.csv").is_file():
            return path
    raise FileFormatError("The example leads are not here: name a table of your own, as in demo leads.csv.")


def best_people(frame: pl.DataFrame) -> pl.DataFrame:
    """Each of the best-scored people once, in columns that fit a terminal."""
    names = ("company_name", "title", "company_size", "phone", "status")
    return (
        frame.unique("buena_person_id", keep="first", maintain_order=True)
        .sort("buena_score", descending=True, nulls_last=True, maintain_order=True)
        .select(
            score="buena_score",
            name=pl.concat_str("buena_first_name", "buena_last_name", separator=" ", ignore_nulls=True),
            **{name: f"buena_{name}" for name in names},
        )
        .head(_TOP)
    )
