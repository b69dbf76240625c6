"""The keys of people, found by person or by key without a look at all of them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from buena_pipeline.schema import KEY_KIND, UUID

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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
        >>> said = pl.DataFrame({"person_id": ["p", "p"], "key": [17, 23]}, schema_overrides={"key": UUID})
        >>> new, others = index.compare(said)
        >>> new["key"].to_list(), others
        ([23], ['q'])
    """

    def __init__(self, keys: pl.DataFrame | None = None) -> None:
        self._keys = _KEYS.to_frame() if keys is None else keys.select(_KEYS.names()).cast(_KEYS)
        self._order = {column: _in_order(self._keys[column]) for column in ("person_id", "key")}

    def of(self, people: pl.DataFrame) -> pl.DataFrame:
        """The keys of these people, in the order of the keys, with the other columns of ``people``.

        Args:
            people: ``person_id``, each once, and any columns more.
        """
        import numpy as np

        places, rows = self._among("person_id", people["person_id"])
        order = np.argsort(rows)
        return self._keys[rows[order]].hstack(people.drop("person_id")[places[order]])

    def compare(self, keys: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
        """What these keys say that is not known.

        Args:
            keys: ``person_id``, ``key``, and any columns more.

        Returns:
            Those that are not known of the people they are said to belong to; and the ids of other people,
            to whom some of them are known to belong.
        """
        places, rows = self._among("key", keys["key"])
        said, known = keys["person_id"].gather(places), self._keys["person_id"].gather(rows)
        own = (said == known).to_numpy()
        if not len(own):
            return keys, []
        others = known.filter(~own).unique().to_list()
        return keys.filter(_not_at(places[own], keys.height)), others

    def _among(self, column: str, values: pl.Series) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The places of values that some row has, and these rows; in step."""
        import numpy as np

        hashes, order = self._order[column]
        wanted = values.hash().to_numpy()
        first, last = (np.searchsorted(hashes, wanted, side=side) for side in ("left", "right"))
        often = last - first
        places = np.repeat(np.arange(len(wanted)), often)
        nth = np.arange(len(places)) - np.repeat(np.cumsum(often) - often, often)
        rows = order[first[places] + nth]
        # different values may have one hash
        same = (values.gather(places) == self._keys[column].gather(rows)).to_numpy()
        return places[same], rows[same]


def _in_order(values: pl.Series) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    """The hashes in ascending order, and the row of each."""
    hashes = values.hash()
    rows = hashes.arg_sort()
    return hashes.gather(rows).to_numpy(), rows.to_numpy()


def _not_at(places: NDArray[np.intp], length: int) -> pl.Series:
    """True, but not in these places."""
    import numpy as np

    elsewhere = np.full(length, fill_value=True)
    elsewhere[places] = False
    return pl.Series(elsewhere)
