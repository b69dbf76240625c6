"""Nobody is known: how fast people are bought, what it costs in CPU, and whether anybody is charged twice."""

from __future__ import annotations

from statistics import median
from typing import Any, Final

from bench.figures import Figure, Target
from bench.measuring import Side
from bench.session import Session, Vendor
from bench.sizes import rows_for

_BATCH: Final = 50
_LATENCY: Final = 0.2
_LONGEST: Final = 150.0
"""Seconds that counting the charges of one table may take."""


def against_the_ideal(session: Session) -> list[Figure]:
    """16 in flight against a vendor that takes 200 ms: how close to what arithmetic allows."""
    people, in_flight = session.sizes.ideal_people, 16
    ideal = in_flight / _LATENCY * _BATCH
    with session.vendor(_LATENCY) as vendor:
        (ours,) = session.compare(
            "cold, 200 ms, 16 in flight",
            [_ours(session, vendor, people, in_flight)],
            repeats=session.sizes.repeats,
            vendor=vendor,
        )
    return [
        Figure(
            "cold.ideal",
            f"Cold, {people:,} people, 16 in flight, ledger durable: leads per second",
            [people / wall for wall in ours.of("wall")],
            f"the ideal of a vendor that takes 200 ms: {ideal:,.0f} leads/s",
            [ideal],
            unit="leads/s",
            target=Target(0.92, at_least=True),
        )
    ]


def against_bare_httpx(session: Session) -> list[Figure]:
    """64 in flight against a thread pool that posts the same bodies and does nothing else."""
    people, in_flight = session.sizes.wide_people, 64
    with session.vendor(_LATENCY) as vendor:
        ours, bare = session.compare(
            "cold, 200 ms, 64 in flight",
            [_ours(session, vendor, people, in_flight), _bare(session, vendor, people, in_flight)],
            repeats=session.sizes.repeats,
            vendor=vendor,
        )
    return [
        Figure(
            "cold.wide",
            f"Cold, {people:,} people, 64 in flight, 200 ms: leads per second",
            [people / wall for wall in ours.of("wall")],
            "bare httpx: 64 threads, the same bodies, `json.loads`",
            [people / wall for wall in bare.of("wall")],
            unit="leads/s",
            target=Target(0.85, at_least=True),
        )
    ]


def without_latency(session: Session) -> list[Figure]:
    """What a batch costs the client in CPU, from a table's rows to the enriched table."""
    people, in_flight = session.sizes.busy_people, 8
    with session.vendor(0.0) as vendor:
        ours, bare = session.compare(
            "cold, no latency, 8 in flight",
            [_ours(session, vendor, people, in_flight), _bare(session, vendor, people, in_flight)],
            repeats=session.sizes.repeats,
            vendor=vendor,
        )
    batches = people / _BATCH
    return [
        Figure(
            "cold.cpu",
            f"Cold, {people:,} people, no latency: CPU for each batch of {_BATCH}, all in",
            [1000 * cpu / batches for cpu in ours.of("cpu")],
            "bare httpx: request and `json.loads`",
            [1000 * cpu / batches for cpu in bare.of("cpu")],
            unit="ms",
            target=Target(3),
        )
    ]


def charges(session: Session) -> list[Figure]:
    """Runs that are only for the vendor's count; the smallest table three times, in two spellings."""
    smallest, *others = session.sizes.paid
    with session.vendor(0.0) as vendor:
        rows = rows_for(smallest)
        arguments = {"leads": session.leads(rows), "others": session.leads(rows, spelling=1)}
        side = Side(
            "enrich_frame, then other spellings, then again",
            "cold.again",
            arguments | _at(vendor),
            rows,
            smallest,
            ours=True,
        )
        session.compare("cold, no latency, 16 in flight", [side], repeats=1, vendor=vendor)
        rate = None
        for people in others:
            if rate is not None and people / rate > _LONGEST:
                session.results.remarks.append(
                    f"Charges of {people:,} people are not counted: that would take {people / rate:,.0f} s."
                )
                break
            (ours,) = session.compare(
                "cold, no latency, 16 in flight",
                [_ours(session, vendor, people, 16)],
                repeats=1,
                vendor=vendor,
            )
            rate = people / median(ours.of("wall"))
    return []


def _ours(session: Session, vendor: Vendor, people: int, in_flight: int) -> Side:
    arguments = {"leads": session.leads(rows_for(people)), "in_flight": in_flight} | _at(vendor)
    return Side("enrich_frame", "cold.ours", arguments, people, people, ours=True)


def _bare(session: Session, vendor: Vendor, people: int, in_flight: int) -> Side:
    arguments = {"leads": session.leads(rows_for(people)), "in_flight": in_flight} | _at(vendor)
    return Side("bare httpx", "cold.bare", arguments, people, people)


def _at(vendor: Vendor) -> dict[str, Any]:
    return {"url": vendor.url, "key": vendor.key}
