"""Everybody is known: in memory, from file to file, and against the script that everybody writes."""

from __future__ import annotations

from statistics import median
from typing import Any, Final

from bench.figures import Figure, Measurement, Target
from bench.measuring import PieceError, Side
from bench.session import Session

_ROOM: Final = 6_000_000_000
"""Bytes that the largest run may take."""


def in_memory(session: Session) -> list[Figure]:
    """``enrich_frame`` of a table in memory against a bare join, and against pandas, requests and SQLite."""
    rows, script_rows = session.sizes.main, session.sizes.script
    leads, store, answers = session.leads(rows), session.store(rows), session.answers(rows)
    cache = session.cache(rows, script_rows)
    ours, bare, script = session.compare(
        "warm, in memory",
        [
            Side("enrich_frame", "warm.ours_frame", {"leads": leads, "store": store}, rows),
            Side("bare polars", "warm.bare_frame", {"leads": leads, "answers": answers}, rows),
            Side(
                "pandas + requests + SQLite",
                "peers.script_warm",
                {"leads": leads, "cache": cache, "rows": script_rows},
                script_rows,
            ),
        ],
        repeats=session.sizes.times(rows),
    )
    scale = rows / script_rows
    against = f"bare polars: two Parquet files read, one ordered join ({rows:,} rows)"
    return [
        Figure(
            "warm.cpu",
            f"Warm, {rows:,} rows, 3 identifiers, {ours.samples[0]['told']['columns']} columns: CPU",
            ours.of("cpu"),
            against,
            bare.of("cpu"),
            target=Target(2.5),
            note=_wall_note(ours, bare),
        ),
        Figure(
            "warm.memory",
            f"Warm, {rows:,} rows: peak of memory against the size of the result",
            _gigabytes(ours.of("peak")),
            "the enriched frame itself (`estimated_size`)",
            [sample["told"]["output_bytes"] / 1e9 for sample in ours.samples],
            unit="GB",
            target=Target(2.5),
            note=f"bare polars: {median(bare.of('peak')) / 1e9:.2f} GB",
        ),
        Figure(
            "warm.script",
            f"Warm, {rows:,} rows, beside a pandas script: time",
            ours.of("wall"),
            f"pandas + requests + SQLite, measured on {script_rows:,} rows and scaled",
            [wall * scale for wall in script.of("wall")],
            turned=True,
            target=Target(15, at_least=True),
        ),
    ]


def from_file_to_file(session: Session) -> list[Figure]:
    """``enrich_frame`` of a LazyFrame into a file against a join by the million, from small to large."""
    figures = []
    for rows in session.sizes.scaling:
        arguments = {"leads": session.leads(rows), "store": session.store(rows)}
        ours = Side("enrich_frame, lazy", "warm.ours_files", arguments | _out(session, "ours", rows), rows)
        arguments = {"leads": session.leads(rows), "answers": session.answers(rows)}
        bare = Side(
            "bare join by the million", "warm.bare_files", arguments | _out(session, "bare", rows), rows
        )
        repeats = session.sizes.times(rows)
        if rows == session.sizes.scaling[-1]:
            figures += _largest(session, ours, bare, repeats)
        else:
            session.compare("warm, file to file", [ours, bare], repeats=repeats)
    return figures


def _largest(session: Session, ours: Side, bare: Side, repeats: int) -> list[Figure]:
    """The largest table; within 6 GB, if that can be done at all."""
    rows, within = ours.size, True
    limited = Side(ours.name, ours.piece, {**ours.arguments, "room": _ROOM}, ours.size, ours=True)
    try:
        own, other = session.compare("warm, file to file", [limited, bare], repeats=repeats)
    except PieceError as error:
        within = False
        session.say(f"within {_ROOM / 1e9:.0f} GB: failed; measured without")
        session.results.remarks.append(
            f"{rows:,} rows within {_ROOM / 1e9:.0f} GB: failed with `{last_line(error)}`."
        )
        own, other = session.compare("warm, file to file", [ours, bare], repeats=repeats)
    if within:
        by = own.samples[0]["told"]["confined"]
        session.results.remarks.append(
            f"{rows:,} rows within {_ROOM / 1e9:.0f} GB, by {by}: ok; the numbers are of that run."
        )
    against = "bare join by the million: a lazy semi join, an ordered left join, written with pyarrow"
    return [
        Figure(
            "files.wall",
            f"Warm, {rows:,} rows, Parquet to Parquet: time",
            own.of("wall"),
            against,
            other.of("wall"),
            target=Target(1.25),
            note=f"CPU {median(own.of('cpu')):.1f} s against {median(other.of('cpu')):.1f} s",
        ),
        Figure(
            "files.memory",
            f"Warm, {rows:,} rows, Parquet to Parquet: peak of memory",
            _gigabytes(own.of("peak")),
            unit="GB",
            target=Target(4.0),
            note=f"the bare join: {median(other.of('peak')) / 1e9:.2f} GB",
        ),
        Figure(
            "files.limit",
            f"Warm, {rows:,} rows, Parquet to Parquet, within {_ROOM / 1e9:.0f} GB",
            [1.0 if within else 0.0],
            unit="runs",
            target=Target(1.0, at_least=True),
        ),
    ]


def last_line(error: Exception) -> str:
    """What a failed piece said last."""
    return (str(error).strip().splitlines() or ["?"])[-1][:200]


def _out(session: Session, who: str, rows: int) -> dict[str, Any]:
    return {"out": str(session.folder / f"{who}-{rows}.parquet")}


def _gigabytes(numbers: list[float]) -> list[float]:
    return [number / 1e9 for number in numbers]


def _wall_note(ours: Measurement, bare: Measurement) -> str:
    own, other = median(ours.of("wall")), median(bare.of("wall"))
    return f"wall {own:.2f} s against {other:.2f} s, {own / other:.2f}"
