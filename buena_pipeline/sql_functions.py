"""The library as a function of SQL: ``buena_enrich(email)`` over tables of one's own, on any connection."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Final

import polars as pl

from buena_pipeline.enrich import Enricher
from buena_pipeline.errors import InputError
from buena_pipeline.schema import DEFAULT_PREFIX, ENRICHED
from buena_pipeline.store.user_functions import UserConnection, register_function, require_apart
from buena_pipeline.terms import Meter

_FIELDS: Final = ("email", "linkedin_url", "full_name", "first_name", "last_name", "company")


def register_functions(
    connection: UserConnection, enricher: Enricher | None = None, *, name: str = "buena_enrich"
) -> None:
    """Makes ``buena_enrich`` callable in SQL on a DuckDB connection of your own.

    ``buena_enrich(email)`` returns a STRUCT of the columns of ``schema.ENRICHED``. It also takes
    ``linkedin_url``, ``full_name``, ``first_name``, ``last_name`` and ``company``, by name:
    ``buena_enrich(email, company := firm)``. Where nothing identifies anybody, its status is ``invalid``.

    DuckDB calls it for up to 2,048 rows at a time. Whoever is not in the store is bought, by requests of up
    to 50, and nobody twice: not for a second row, a second call or a second query, whatever ``max_age`` says.
    One vector is enriched after the other, whatever number of threads DuckDB has. ``max_credits`` caps all
    that the function spends until it is registered anew.

    For a large table ``enrich_frame(connection.table("leads"))`` is the better way: it sees all rows at once,
    so requests are full, ``priority`` counts, and a report tells what it came to.

    Args:
        connection: an open connection, which must not have the store's own file open. The function lasts as
            long as it, and nothing is written to its file. A cursor needs a registration of its own.
        enricher: what to enrich with; default ``Enricher()``. Its ``columns``, ``priority`` and ``prefix`` do
            not count here.
        name: of the function.

    Raises:
        InputError: if an argument makes no sense, or the connection is closed.
        StoreLockedError: if the connection has the store's file open.

    An error during a query is one of DuckDB's (``duckdb.InvalidInputException``) with the message of this
    library; what was bought until then is in the store. So it is after Ctrl-C, when the rows in hand are
    done, which may take as long as ``max_wait`` allows.

    Example:
        >>> import duckdb, tempfile
        >>> from buena_pipeline import BuenaClient, Sandbox
        >>> connection = duckdb.connect()
        >>> with tempfile.TemporaryDirectory() as folder, Sandbox() as sandbox:
        ...     with BuenaClient(sandbox.api_key, sandbox.url) as client:
        ...         register_functions(connection, Enricher(client, f"{folder}/buena.duckdb"))
        ...         connection.execute("create table leads as select 'jane.doe@acme.example' as email")
        ...         query = "select e.status from (select buena_enrich(email) as e from leads)"
        ...         print(connection.execute(query).fetchall())
        <...>
        [('enriched',)]
        >>> connection.close()
    """
    if not isinstance(enricher, Enricher | None):
        raise InputError("enricher takes an Enricher, such as Enricher(max_credits=500).")
    vectors = _Vectors(enricher or Enricher())
    require_apart(connection, vectors.enricher.store.path)
    register_function(connection, name, fields=_FIELDS, returns=ENRICHED, function=vectors.enrich)


class _Vectors:
    """Tables of a few rows that come one after the other: to the user one table, with one budget."""

    def __init__(self, enricher: Enricher) -> None:
        self.enricher = enricher
        self._began = datetime.now(UTC)
        self._meter = Meter()
        self._turn = threading.Lock()
        self._failures = 0
        self._failure: BaseException | None = None

    def enrich(self, leads: pl.DataFrame) -> pl.DataFrame:
        """The columns of ``schema.ENRICHED`` for some leads, in their order."""
        failures = self._failures
        # side by side, two of them would spend the same credits of the budget
        with self._turn:
            if self._failures > failures and self._failure is not None:
                # the query has failed meanwhile, or was interrupted: nothing more is bought for it
                raise self._failure
            self._failure = None
            try:
                part = self.enricher.sharing(self._meter)
                # whoever a vector before has bought is as good as new in this one
                part.terms = part.terms.trusting(datetime.now(UTC) - self._began)
                enriched = part.run(leads).frame
            except BaseException as error:
                self._failures, self._failure = self._failures + 1, error
                raise
        return enriched.select(pl.col(DEFAULT_PREFIX + column).alias(column) for column in ENRICHED)
