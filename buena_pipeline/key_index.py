"""The keys of people, found by person or by key without a look at all of them. Pure."""

from __future__ import annotations

import polars as pl

from buena_pipeline.schema import KEY_KIND, UUID

_KEYS = pl.Schema({"person": pl.UInt32(), "person_id": pl.String(), "kind": KEY_KIND, "key": UUID})


class KeyIndex:
    """The keys of some people.

    Args:
        keys: ``person``, ``person_id``, ``kind`` and ``key``, one row per key.

    Example:
        >>> keys = {"person": [0, 1], "person_id": ["p", "q"], "kind": "email", "key": [17, 23]}
        >>> index = KeyIndex(pl.DataFrame(keys))
        >>> index.of(pl.DataFrame({"person_id": ["q"]}))["key"].to_list()
        [23]
        >>> index.others(pl.DataFrame({"person_id": ["p"], "key": [23]}, schema_overrides={"key": UUID}))
        ['q']
    """

    def __init__(self, keys: pl.DataFrame | None = None) -> None:
        self._keys = _KEYS.to_frame() if keys is None else keys.select(_KEYS.names()).cast(_KEYS)
        self._order = {column: _in_order(self._keys[column]) for column in ("person_id", "key")}

    def of(self, people: pl.DataFrame) -> pl.DataFrame:
        """The keys of these people, in the order of the keys, with the other columns of ``people``.

        Args:
            people: ``person_id``, each once, and any columns more.
        """
        return self._among("person_id", people["person_id"]).join(
            people, on="person_id", maintain_order="left"
        )

    def others(self, keys: pl.DataFrame) -> list[str]:
        """Ids of people who have one of these keys, but whom these keys are not said to belong to.

        Args:
            keys: ``person_id``, ``key``.
        """
        said = keys.select("key", other="person_id")
        shared = self._among("key", said["key"]).join(said, on="key")
        return shared.filter(pl.col("person_id") != pl.col("other"))["person_id"].unique().to_list()

    def _among(self, column: str, values: pl.Series) -> pl.DataFrame:
        """The rows with one of these values, and perhaps a few more, in the order of the keys."""
        hashes, rows = self._order[column]
        wanted = values.unique().hash()
        first, last = (hashes.search_sorted(wanted, side=side) for side in ("left", "right"))
        places = pl.select(pl.int_ranges(first, last).explode()).to_series().drop_nulls()
        return self._keys[rows.gather(places).sort()]


def _in_order(values: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The hashes in ascending order, and the row of each."""
    rows = values.hash().arg_sort()
    return values.hash().gather(rows), rows
