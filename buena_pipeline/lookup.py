"""What the store knows of the people of one table: the answer to a look-up, which nobody has judged yet."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True, slots=True)
class Lookup:
    """What the store knows of the people of one table.

    Attributes:
        own_id: schema ``OWN_ID``, by ``person``: the id each gets if it is new, and whether it is suppressed.
        known: schema ``KNOWN``, the people of the store that the keys point to, in any order.
        keys: schema ``PERSON_KEYS``, what was asked.
        linked: ``key`` and the ``person_id`` it points to, of each ``person`` some of whose keys are not
            known or do not agree.
    """

    own_id: pl.DataFrame
    known: pl.DataFrame
    keys: pl.DataFrame
    linked: pl.DataFrame

    def unlearned(self, people: pl.DataFrame) -> pl.DataFrame:
        """The keys that do not point to who their people are.

        Args:
            people: ``person`` and ``person_id``.

        Returns:
            ``person_id``, ``kind`` and ``key``.
        """
        partly = people.join(self.linked.select("person").unique(), on="person", how="semi")
        return (
            self.keys.join(partly, on="person")
            .join(self.linked, on=["key", "person_id"], how="anti")
            .select("person_id", "kind", "key")
        )
