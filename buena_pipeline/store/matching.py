"""The look-up: which people of the store the keys of a table point to, and what was bought of them when.

The judgement is ``plan``'s. Here are the temporary tables it is made on: ``search`` fills them for many
people by one look at all keys of the store, and ``found`` reads them for some of these.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import polars as pl

from buena_pipeline.lookup import Lookup
from buena_pipeline.schema import KEY_KIND, KEY_KINDS, KNOWN, OWN_ID
from buena_pipeline.store.exchange import from_query, to_arrow
from buena_pipeline.store.statements import statement

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

AT_ONCE: Final = 7_000_000
"""Keys to search for at once: they must fit in memory, and each search looks at the whole store."""

A_PART: Final = 750_000
"""Keys of the people whose part is read at once."""

_BITS: Final = 64


def search(connection: duckdb.DuckDBPyConnection, keys: pl.DataFrame) -> None:
    """Enters in temporary tables what is known of some people.

    Args:
        connection: to the store, with the temporary table ``living``.
        keys: schema ``PERSON_KEYS``, the keys of each person together, strongest first.
    """
    incoming, person_has = _numbered(keys)
    connection.register("incoming", incoming)
    connection.register("person_has", person_has)
    del incoming, person_has
    connection.execute(
        f"create or replace temp macro rank_of(kind) as list_position({[*KEY_KINDS]}, kind) - 1"
    )
    connection.execute(statement("lookup.sql"))
    if connection.execute("select count(*) from suppression").fetchall() != [(0,)]:
        connection.execute(statement("suppressed.sql"))


def found(connection: duckdb.DuckDBPyConnection, keys: pl.DataFrame, *, moving: bool) -> Lookup:
    """What was entered of some of the people who were searched for.

    Args:
        connection: the same.
        keys: their keys.
        moving: whether answers were written in this turn: they have their place only when it has ended.
    """
    first, last = (keys["person"][0], keys["person"][-1]) if keys.height else (0, 0)
    here = f"person between {first} and {last}"
    kind = pl.Series(KEY_KINDS, dtype=KEY_KIND)
    known = from_query(connection, f"from known where {here}").with_columns(
        pl.lit(kind).gather(pl.col("kind")).alias("kind"), row=pl.lit(None, pl.Int64) if moving else "row"
    )
    linked = from_query(connection, f"select distinct person, key, person_id from linked where {here}")  # noqa: S608
    suppressed = from_query(connection, f"select person from suppressed where {here}")["person"]  # noqa: S608
    # a person nobody has bought yet gets the id of its strongest key: every process comes to the same one
    own_id = keys.filter((pl.col("person") != pl.col("person").shift()).fill_null(value=True)).select(
        "person", person_id="key", suppressed=pl.col("person").is_in(suppressed.implode())
    )
    return Lookup(own_id.cast(OWN_ID), known.select(KNOWN.names()).cast(KNOWN), keys, linked)


def by_people(keys: pl.DataFrame, rows: int) -> Iterator[pl.DataFrame]:
    """About so many rows at a time, but all keys of a person together; at least one frame."""
    people = keys["person"]
    cuts = [people.search_sorted(people[row], side="left") for row in range(rows, keys.height, rows)]
    for begin, end in itertools.pairwise(sorted({0, *cuts, keys.height}) if keys.height else [0, 0]):
        yield keys[begin:end]


def _numbered(keys: pl.DataFrame) -> tuple[pa.Table, pa.Table]:
    """The keys with one bit for each key of a person, and each person's strongest kind and all bits."""
    numbered = keys.lazy().select(
        "person",
        pl.col("kind").to_physical().cast(pl.UInt8),
        "key",
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("position"),
        is_first=(pl.col("person") != pl.col("person").shift()).fill_null(value=True),
    )
    nth = pl.col("position") - pl.when("is_first").then("position").forward_fill()
    bit = pl.lit(2, pl.UInt64).pow(nth.clip(0, _BITS - 1)).cast(pl.UInt64)
    incoming = numbered.with_columns(bit=bit).collect()
    count = pl.col("position").shift(-1, fill_value=keys.height) - pl.col("position")
    # of more keys than there are bits nobody can say that all are known
    bits = pl.when(count < _BITS).then(pl.lit(2, pl.UInt64).pow(count).cast(pl.UInt64) - 1).otherwise(0)
    person_has = incoming.filter("is_first").select("person", strongest="kind", bits=bits)
    return to_arrow(incoming.drop("is_first", "position")), to_arrow(person_has)
