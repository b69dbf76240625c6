"""Makes the inputs. Measured only to be told: nobody has a target for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.worker import Watch


def leads(watch: Watch, *, path: str, rows: int, spelling: int = 0) -> None:
    """A lead table as Parquet."""
    from bench import data

    watch.start()
    data.write(Path(path), (data.leads(*part, spelling=spelling) for part in data.parts(rows)))
    watch.stop()


def keys(watch: Watch, *, path: str, rows: int) -> None:
    """Identity keys with chains, as Parquet."""
    from bench import data

    watch.start()
    data.write(Path(path), (data.keys(*part) for part in data.parts(rows)))
    watch.stop()


def store(watch: Watch, *, path: str, people: int, answers: str) -> None:
    """A store that knows so many people, and the same answers as Parquet."""
    from bench import stores

    watch.start()
    stores.build(Path(path), people, answers=Path(answers))
    watch.stop()
