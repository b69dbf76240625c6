"""What is still to be bought: batches in the order of buying, and those that refusals send back. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import polars as pl

from buena_pipeline.normalize import linkedin_slug
from buena_pipeline.plan import Batch
from buena_pipeline.wire import OutOfCredits, Refused


class Backlog:
    """Batches that wait; those that come back go first.

    Example:
        >>> backlog = Backlog()
        >>> backlog.add([Batch(("company",), pl.DataFrame({"person_id": ["a", "b"]}))])
        >>> (batch,) = backlog.take(5)
        >>> backlog.put_back(batch, since=1)
        >>> backlog.take(5)
        [Batch(1 people, company)]
    """

    def __init__(self) -> None:
        self._fresh: Iterator[Batch] = iter(())
        self._returned: deque[Batch] = deque()

    def add(self, batches: Iterable[Batch]) -> None:
        """Batches to be bought, instead of those there were."""
        self._fresh = iter(batches)

    def __bool__(self) -> bool:
        """Whether anything waits."""
        if not self._returned and (batch := next(self._fresh, None)) is not None:
            self._returned.append(batch)
        return bool(self._returned)

    def take(self, places: int) -> list[Batch]:
        """The next batches, at most so many."""
        batches: list[Batch] = []
        while len(batches) < places:
            batch = self._returned.popleft() if self._returned else next(self._fresh, None)
            if batch is None:
                break
            batches.append(batch)
        return batches

    def rest(self) -> Iterator[Batch]:
        """All that is left; then there is nothing."""
        while self._returned:
            yield self._returned.popleft()
        yield from self._fresh

    def put_back(self, batch: Batch, *, since: int = 0) -> None:
        """A batch, or the people of it from one on: next in turn."""
        if since < batch.people.height:
            self._returned.appendleft(Batch(batch.blocks, batch.people[since:]))

    def shrink(self, batch: Batch, verdict: OutOfCredits, *, price: float) -> bool:
        """Out of credits: as many people as the rest pays for go first; False if it pays for nobody."""
        height = batch.people.height
        price = verdict.required / height if verdict.required else price
        payable = int(min(verdict.remaining / price, height - 1))
        self.put_back(batch, since=payable)
        if payable:
            self.put_back(Batch(batch.blocks, batch.people[:payable]))
        return payable > 0

    def sort_out(self, batch: Batch, refused: Refused) -> list[tuple[pl.DataFrame, str]]:
        """A refused batch: whoever is not at fault goes out again.

        Args:
            batch: what was sent.
            refused: the vendor's answer.

        Returns:
            The people at fault, and why. A refusal that names nobody is halved until somebody stands alone.
        """
        people = batch.people
        if refused.profile_url is not None:
            return self._without_profile(batch, refused.profile_url, refused.message)
        named = pl.Series(range(people.height), dtype=pl.UInt32).is_in(list(refused.leads))
        if not named.any():
            return self._halve(batch, refused.message)
        self.put_back(Batch(batch.blocks, people.filter(~named)))
        return [(people[index : index + 1], refused.leads[index]) for index in named.arg_true()]

    def _without_profile(self, batch: Batch, url: str, message: str) -> list[tuple[pl.DataFrame, str]]:
        """A refused LinkedIn URL: the lead goes out without it if something else identifies it."""
        profile = pl.col("linkedin_url")
        same = (profile == url) | (linkedin_slug(profile) == linkedin_slug(pl.lit(url)))
        named = batch.people.select(same.fill_null(value=False)).to_series()
        if not named.any():
            return self._halve(batch, message)
        people = batch.people.with_columns(
            linkedin_url=pl.when(~named).then("linkedin_url"),
            sendable=~named
            | pl.col("email").is_not_null()
            | pl.all_horizontal(pl.col("first_name", "last_name", "company").is_not_null()),
        )
        self.put_back(Batch(batch.blocks, people.filter("sendable").drop("sendable")))
        return [(people.filter(~pl.col("sendable")), "the vendor refused the LinkedIn URL")]

    def _halve(self, batch: Batch, message: str) -> list[tuple[pl.DataFrame, str]]:
        middle = batch.people.height // 2
        if middle == 0:
            return [(batch.people, message)]
        self.put_back(batch, since=middle)
        self.put_back(Batch(batch.blocks, batch.people[:middle]))
        return []
