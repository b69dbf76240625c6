"""Work on columns alone: identity keys, people, scores."""

from __future__ import annotations

from statistics import median

from bench.figures import Figure, Target
from bench.measuring import Side
from bench.session import Session


def identity(session: Session) -> list[Figure]:
    """The hashed keys of every row against the same keys row by row."""
    rows, sample = session.sizes.large, session.sizes.sample
    leads = session.leads(rows)
    ours, plain = session.compare(
        "identity keys",
        [
            Side("identify, streamed", "columns.identity_ours", {"leads": leads}, rows),
            Side("plain Python", "columns.identity_python", {"leads": leads, "rows": sample}, sample),
        ],
        repeats=2,
    )
    scale = rows / sample
    return [
        Figure(
            "identity.speed",
            f"Identity keys, {rows:,} rows, streamed: time",
            ours.of("wall"),
            f"the same keys in plain Python, measured on {sample:,} rows and scaled",
            [wall * scale for wall in plain.of("wall")],
            turned=True,
            target=Target(5, at_least=True),
            note=f"by CPU: {median(plain.of('cpu')) * scale / median(ours.of('cpu')):.1f} times",
        ),
        Figure(
            "identity.memory",
            f"Identity keys, {rows:,} rows, streamed: peak of memory",
            [peak / 1e9 for peak in ours.of("peak")],
            unit="GB",
            target=Target(1.2),
        ),
    ]


def people(session: Session) -> list[Figure]:
    """Rows grouped into people by three kinds of keys against rows dropped that repeat one."""
    rows = session.sizes.large
    keys = session.keys(rows)
    ours, unique = session.compare(
        "people",
        [
            Side("group_people", "columns.people_ours", {"keys": keys}, rows),
            Side("unique on one key", "columns.people_unique", {"keys": keys}, rows),
        ],
        repeats=2,
    )
    before = median(ours.of("before_peak")) / 1e9
    against = "`unique` on one key column, order kept"
    return [
        Figure(
            "people.time",
            f"People, {rows:,} rows, 30% of them in chains, 3 keys: time",
            ours.of("wall"),
            against,
            unique.of("wall"),
            target=Target(2),
            note=f"by CPU: {median(ours.of('cpu')) / median(unique.of('cpu')):.2f}",
        ),
        Figure(
            "people.memory",
            f"People, {rows:,} rows: peak of memory",
            [peak / 1e9 for peak in ours.of("peak")],
            against,
            [peak / 1e9 for peak in unique.of("peak")],
            unit="GB",
            target=Target(2),
            note=f"{before:.2f} GB of it are there when the keys are loaded",
        ),
    ]


def score(session: Session) -> list[Figure]:
    """The vendor's example score of a table against the same, row by row."""
    rows = session.sizes.main
    sample = min(session.sizes.script, rows)
    enriched = session.enriched(rows)
    ours, plain = session.compare(
        "score",
        [
            Side("score_frame", "columns.score_ours", {"enriched": enriched}, rows),
            Side("plain Python", "columns.score_python", {"enriched": enriched, "rows": sample}, sample),
        ],
        repeats=session.sizes.repeats,
    )
    scale = rows / sample
    return [
        Figure(
            "score.speed",
            f"score_frame, {rows:,} rows: time",
            ours.of("wall"),
            f"plain Python over `iter_rows(named=True)`, measured on {sample:,} rows and scaled",
            [wall * scale for wall in plain.of("wall")],
            turned=True,
            target=Target(9, at_least=True),
            note=f"by CPU: {median(plain.of('cpu')) * scale / median(ours.of('cpu')):.1f} times",
        )
    ]
