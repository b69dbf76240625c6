"""What can be read and written in one turn at the file: all of it becomes true together, or none of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import duckdb
import polars as pl

from buena_pipeline.aliases import link_people
from buena_pipeline.lookup import Lookup
from buena_pipeline.pace import Quota
from buena_pipeline.reconcile import reconcile
from buena_pipeline.schema import (
    ANSWER_ROWS,
    IDENTITY_ROWS,
    REQUEST_ROWS,
    RESPONSE_ROWS,
    RUN_ROWS,
)
from buena_pipeline.store import matching
from buena_pipeline.store.engine import ALL_CORES, NO_LOG
from buena_pipeline.store.exchange import to_arrow
from buena_pipeline.store.journal import Journal
from buena_pipeline.store.statements import statement

_TABLES: Final = {
    "request": REQUEST_ROWS,
    "run": RUN_ROWS,
    "response": RESPONSE_ROWS,
    "answer": ANSWER_ROWS,
    "identity": IDENTITY_ROWS,
}

_MANY: Final = 1000
"""Answers of one turn that are worth a checkpoint of their own."""

_MUCH: Final = 50_000
"""Rows that are worth it to hand them on to all cores."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the ledger says of an account's requests of the last day.

    Attributes:
        sent: when requests left, oldest first.
        quota: the newest word on a rate limit.
        blocked_until: what a 429 asked for, if that is still to come.
    """

    sent: list[datetime]
    quota: Quota | None
    blocked_until: datetime | None


class Extent(NamedTuple):
    """How far a file goes.

    Attributes:
        file_id: another one whenever the file was made or written anew; None in a file of an older release.
        requests: rows of the table ``request``, which only grows, as the next one does.
        keys: rows of the table ``identity``.
        suppressed: a sum of the list of those who must not be enriched.
    """

    file_id: str | None
    requests: int
    keys: int
    suppressed: object


class Transaction:
    """One turn at the file.

    Args:
        connection: in a transaction, or for reading only.
        journal: says which runs live, and what those that do not have sent.

    Attributes:
        gave_up: whether it has settled the requests of all runs that are gone.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, journal: Journal) -> None:
        self.gave_up = False
        self._connection = connection
        self._journal = journal
        self._shared: list[pl.Series] = []
        self._wrote = False
        self._answers = 0
        self._extent: Extent | None = None
        self._registered: dict[str, pl.DataFrame] = {}

    # --- reading ----------------------------------------------------------------------------------------

    def lookup(self, keys: pl.DataFrame) -> Lookup:
        """What is known of some people, not too many at once.

        Args:
            keys: schema ``PERSON_KEYS``, the keys of each person together, strongest first.
        """
        self._connection.execute(ALL_CORES)
        self._mark_the_living()
        matching.search(self._connection, keys)
        return matching.found(self._connection, keys, moving=self._wrote)

    def lookups(self, keys: pl.DataFrame) -> Iterator[Lookup]:
        """What is known of all people of a table, some of them at a time.

        The store is searched for many people at once, since that takes a look at all keys it holds; what it
        knows of them comes in smaller parts.

        Args:
            keys: schema ``PERSON_KEYS``, in the order of people, the keys of each strongest first.
        """
        self._connection.execute(ALL_CORES)
        self._mark_the_living()
        for many in matching.by_people(keys, matching.AT_ONCE):
            matching.search(self._connection, many)
            for some in matching.by_people(many, matching.A_PART):
                yield matching.found(self._connection, some, moving=self._wrote)

    def extent(self) -> Extent:
        """How far the file goes, with what this turn has written; ``marks`` are the same while this is."""
        if self._extent is None:
            query = """
                select (select any_value(value) from meta where name = 'file_id'),
                       (select count(*) from request),
                       (select count(*) from identity),
                       (select (count(*), bit_xor(hash(listed))) from suppression as listed)
                """
            self._extent = Extent(*self._only_row(query))
        return self._extent

    def marks(self, run_id: str) -> tuple[object, ...]:
        """Marks that change when anybody but this run changes something that bears on whom to buy."""
        return self._only_row(
            """
            select (select count(*) from request where run_id <> ?),
                   (select count(*) from identity where request_id is null),
                   (select (count(*), bit_xor(hash(listed))) from suppression as listed),
                   (select any_value(value) from meta where name = 'file_id')
            """,
            [run_id],
        )

    def file_id(self) -> str | None:
        """Another one whenever the file was made or written anew; None in a file of an older release."""
        file_id: str | None = self._only_row("select any_value(value) from meta where name = 'file_id'")[0]
        return file_id

    def blocked_until(self, account: str, *, now: datetime) -> datetime | None:
        """What a 429 to an account has asked for, if that is still to come."""
        (blocked,) = self._row(
            "select max(retry_at) from request where account = ? and retry_at > ?", [account, now]
        )
        return blocked  # type: ignore[no-any-return]

    def traffic(self, account: str, *, now: datetime) -> Traffic:
        """The requests of an account that count towards its rate limits."""
        since = now - timedelta(days=1)
        sent = self._connection.sql(
            """
            select happened_at from request
            where state = 'in flight' and account = $account and happened_at > $since order by happened_at
            """,
            params={"account": account, "since": since},
        ).pl()
        told = self._row(statement("traffic.sql"), {"account": account, "since": since})
        blocked = self.blocked_until(account, now=now)
        return Traffic(sent["happened_at"].to_list(), Quota(*told) if told else None, blocked)

    def price(self) -> float | None:
        """Credits a lead has cost lately; None if nothing was bought yet."""
        price: float | None = self._only_row(statement("price.sql"))[0]
        return price

    def spent_today(self, *, now: datetime) -> float:
        """Credits used on this day (UTC) by all runs, with those that what is under way or lost may cost."""
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return float(self._only_row(statement("spent.sql"), {"since": midnight})[0])

    def requests(self) -> pl.DataFrame:
        """One row per request as it stands now, as ``reconcile`` takes them."""
        requests: pl.DataFrame = self._connection.sql(
            """
            select request_id::varchar as request_id, account, sent_at, closed_at, lease_until, state,
                   len(people) as people, credits_reserved, credits_used, credits_remaining
            from newest_request
            """
        ).pl()
        return requests

    # --- writing ----------------------------------------------------------------------------------------

    def write(self, frames: Mapping[str, pl.DataFrame], *, unseen: bool = False) -> None:
        """Writes what happened; twice the same is written once. ``EnrichmentStore.commit`` says more.

        Args:
            frames: as for ``EnrichmentStore.commit``, by their names.
            unseen: whether none of it can have been written before, so that nobody has to look.
        """
        rows = {table: _fit(frames.get(f"new_{table}"), schema) for table, schema in _TABLES.items()}
        if max(frame.height for frame in rows.values()) >= _MUCH:
            self._connection.execute(ALL_CORES)
        changes = rows["request"] if unseen else self._without_entered(rows["request"])
        keys, ids = rows["identity"], changes["request_id"]
        # whatever an answer brought is written with its state only
        closed = set(ids.filter(changes["state"] != "in flight").to_list())
        rows["request"] = changes
        rows["response"], rows["answer"] = (_of(rows[table], closed) for table in ("response", "answer"))
        rows["identity"], rows["learned"] = _of(keys, set(ids.to_list())), _of(keys, {None})
        for table, frame in rows.items():
            if frame.height:
                self._register(table, frame)
                self._connection.execute(statement(f"commit/{table}.sql"))
        self._compare(rows["identity"])
        self._compare(rows["learned"])
        if self._extent is not None:  # counted, since to ask again costs more
            known = self._extent.requests, self._extent.keys
            self._extent = self._extent._replace(
                requests=known[0] + changes.height, keys=known[1] + rows["identity"].height
            )
        self._wrote |= rows["answer"].height > 0
        self._answers += rows["answer"].height

    def _without_entered(self, changes: pl.DataFrame) -> pl.DataFrame:
        """The state changes that are new, so that a commit without acknowledgement can be made again."""
        if changes.is_empty():
            return changes
        self._register("request", changes)
        entered = self._connection.execute(statement("commit/entered.sql")).fetchall()
        if not entered:
            return changes
        known = pl.DataFrame(entered, schema=["request_id", "state"], orient="row")
        return changes.join(known, on=known.columns, how="anti", maintain_order="left")

    def _compare(self, keys: pl.DataFrame) -> None:
        """Notes keys that were just written, if somebody else has one of them; in most turns nobody has."""
        if keys.height:
            self._register("identity", keys)
            if self._only_row(statement("count_shared_keys.sql")) != (0,):
                self._shared.append(keys["key"].filter(keys["kind"] != "name"))

    def _register(self, table: str, rows: pl.DataFrame) -> None:
        if self._registered.get(table) is not rows:
            self._connection.register(f"new_{table}", to_arrow(rows))
            self._registered[table] = rows

    def link(self) -> None:
        """People who share a key that this turn wrote, and are one, become one."""
        if not self._shared:
            return
        self._connection.register("written", to_arrow(pl.concat(self._shared).unique().to_frame()))
        self._connection.execute(statement("shared_keys.sql"))
        shared = self._connection.sql("select * replace (person_id::varchar as person_id) from shared").pl()
        if shared.height:
            self._connection.register("new_link", link_people(shared).to_arrow())
            self._connection.execute(statement("link.sql"))

    def end(self) -> None:
        """What is left to do before the turn is committed."""
        self.link()
        if self._answers >= _MANY:
            self._connection.execute(NO_LOG)

    def settle_unknown(self, *, now: datetime) -> None:
        """Gives up on requests whose run is gone, and settles what the credits left tell."""
        self._mark_the_departed(self._mark_the_living())
        self._connection.execute(statement("abandoned.sql"))
        self.gave_up = True
        if self._only_row("select count(*) from newest_request where state = 'unknown'") == (0,):
            return
        self._connection.register("settled", reconcile(self.requests(), now=now).to_arrow())
        self._connection.execute(statement("settle.sql"))

    def _mark_the_living(self) -> list[str]:
        """The temporary table ``living``: the runs with requests on their way that live; the others."""
        runs = self._connection.sql(
            """
            select run_id::varchar as run_id from newest_request where state = 'in flight'
            group by run_id
            """
        ).pl()
        living = pl.DataFrame({"run_id": self._journal.alive(runs["run_id"])}, schema={"run_id": pl.String})
        self._connection.register("living", living.to_arrow())
        gone: list[str] = runs.join(living, on="run_id", how="anti")["run_id"].to_list()
        return gone

    def _mark_the_departed(self, runs: list[str]) -> None:
        """The temporary table ``departed``: runs of which that is known, and the requests that have left."""
        told = [(run_id, self._journal.departed(run_id)) for run_id in runs]
        departed = pl.DataFrame(
            [(run_id, list(requests)) for run_id, requests in told if requests is not None],
            schema={"run_id": pl.String, "requests": pl.List(pl.String)},
            orient="row",
        )
        self._connection.register("departed", departed.to_arrow())

    def _only_row(self, query: str, values: Any = None) -> tuple[Any, ...]:
        """The only row of a query for anything but moments."""
        (row,) = self._connection.execute(query, values).fetchall()
        return row

    def _row(self, query: str, values: Any = None) -> tuple[Any, ...]:
        """The first row, by way of a frame: DuckDB's own way to a moment with a time zone needs pytz."""
        rows: pl.DataFrame = self._connection.sql(query, params=values).pl()
        return rows.row(0) if rows.height else ()


def _fit(rows: pl.DataFrame | None, schema: pl.Schema) -> pl.DataFrame:
    if rows is None:
        return schema.to_frame()
    return rows if rows.schema == schema else rows.select(schema.names()).cast(schema)


def _of(rows: pl.DataFrame, requests: set[str] | set[None]) -> pl.DataFrame:
    """The rows that belong to these requests; None is one, too."""
    there = set(rows["request_id"].unique().to_list())
    if there <= requests:
        return rows
    wanted = pl.Series(list(there & requests), dtype=pl.String)
    return rows.filter(rows["request_id"].is_in(wanted.implode(), nulls_equal=True))
