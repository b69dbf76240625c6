"""The results as people read them: ``python -m bench.report FILE.json`` writes page and chart beside it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench.figures import Charge, Figure, Measurement, Results, Target

_SCALING: Final = "warm, file to file"
_BESIDE: Final = "beside others"
_HOW_TOLD: Final = "Medians, with the least and the most in parentheses."


def read(path: Path) -> Results:
    """The results that a run of the benchmarks left."""
    told = json.loads(path.read_text(encoding="utf-8"))
    for figure in told["figures"]:
        figure["target"] = Target(**figure["target"]) if figure["target"] else None
    return Results(
        **{
            **{field.name: told[field.name] for field in fields(Results)},
            "figures": [Figure(**figure) for figure in told["figures"]],
            "measurements": [Measurement(**measurement) for measurement in told["measurements"]],
            "charges": [Charge(**charge) for charge in told["charges"]],
        }
    )


def render(results: Results, chart: str) -> str:
    """The page."""
    minutes, seconds = divmod(round(results.seconds), 60)
    command = "make bench" if results.sizes == "full" else f"make bench-{results.sizes}"
    parts = [
        "# What was measured",
        f"By `{command}` in {minutes} min {seconds} s; [README.md](README.md) says how. {_HOW_TOLD}",
        table(("machine", ""), results.machine.items()),
        *(["## Broken", bullets(results.failures)] if results.failures else []),
        "## Against the targets",
        table(
            ("what", "ours", "baseline", "ratio", "target", "met"),
            (_target_row(figure) for figure in results.figures),
        ),
        f"![The same as a chart]({chart})",
        "## Charges per person, by the vendor's own count",
        table(
            ("run", "times", "people", "charges per person", "most for one person"),
            _charge_rows(results.charges),
        ),
        "## How the warm path grows, from file to file",
        table(
            ("rows", "who", "time s", "CPU s", "peak GB", "time for ten times the rows", "memory likewise"),
            _scaling_rows(results.measurements),
        ),
        "## Beside others: people nobody knows, a vendor that takes 200 ms",
        table(
            ("who", "rows", "leads per second", "CPU ms a lead", "charges per person"), _peer_rows(results)
        ),
        "## Everything",
        "Of the piece itself, after its imports and inputs; peak of memory of the whole process.",
        table(
            (
                "case",
                "who",
                "size",
                "times",
                "time s",
                "CPU s",
                "imports and inputs CPU s",
                "peak GB",
                "before GB",
            ),
            (_row(measurement) for measurement in results.measurements),
        ),
        *(["## Remarks", bullets(results.remarks)] if results.remarks else []),
    ]
    return "\n\n".join(parts) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', '/') for cell in line)} |" for line in lines)


def bullets(lines: Iterable[str]) -> str:
    """A list in Markdown."""
    return "\n".join(f"- {line}" for line in lines)


def number(value: float) -> str:
    """A number with three digits that count."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"


def spread(values: Sequence[float], *, unit: str = "") -> str:
    """The median, with the least and the most where there are several."""
    told = f"{number(median(values))}{' ' + unit if unit else ''}"
    return f"{told} ({number(min(values))}–{number(max(values))})" if len(values) > 1 else told


def _target_row(figure: Figure) -> list[str]:
    if figure.unit == "runs":
        return [
            figure.what,
            "runs" if figure.met else "fails",
            "–",
            "–",
            "runs",
            "yes" if figure.met else "**no**",
        ]
    note = f"<br>{figure.note}" if figure.note else ""
    against = f"{spread(figure.baseline, unit=figure.unit)}: {figure.against}" if figure.baseline else "–"
    least, most = figure.spread
    ratio = "–" if figure.alone else number(figure.value)
    if not figure.alone and len(figure.ours) > 1:
        ratio += f" ({number(least)}–{number(most)})"
    if figure.target is None:
        return [figure.what + note, spread(figure.ours, unit=figure.unit), against, ratio, "–", "–"]
    unit = f" {figure.unit}" if figure.alone else ""
    sign = "≥" if figure.target.at_least else "≤"
    return [
        figure.what + note,
        spread(figure.ours, unit=figure.unit),
        against,
        ratio + (" times as fast" if figure.turned else ""),
        f"{sign} {figure.target.bound:g}{unit}",
        "yes" if figure.met else "**no**",
    ]


def _charge_rows(charges: Sequence[Charge]) -> Iterator[list[str]]:
    ours = [charge for charge in charges if charge.ours]
    for who in dict.fromkeys((charge.who, charge.people) for charge in ours):
        runs = [charge for charge in ours if (charge.who, charge.people) == who]
        worst = max(runs, key=lambda charge: (not charge.exact, charge.per_person))
        yield [
            who[0],
            str(len(runs)),
            f"{who[1]:,}",
            f"{worst.per_person:.4f}" + ("" if worst.exact else " **(not exact)**"),
            str(max(charge.most for charge in runs)),
        ]


def _scaling_rows(measurements: Sequence[Measurement]) -> Iterator[list[str]]:
    before: dict[str, Measurement] = {}
    for measurement in (one for one in measurements if one.case == _SCALING):
        smaller = before.get(measurement.side)
        growth = [
            "–" if smaller is None else f"× {number(median(measurement.of(name)) / median(smaller.of(name)))}"
            for name in ("wall", "peak")
        ]
        before[measurement.side] = measurement
        yield [
            f"{measurement.size:,}",
            measurement.side,
            spread(measurement.of("wall")),
            spread(measurement.of("cpu")),
            spread([peak / 1e9 for peak in measurement.of("peak")]),
            *growth,
        ]


def _peer_rows(results: Results) -> Iterator[list[str]]:
    charged = {charge.who: charge for charge in results.charges}
    for one in results.measurements:
        if _BESIDE in one.case:
            charge = charged[f"{one.side}, {one.case}"]
            yield [
                one.side,
                f"{one.size:,}",
                number(one.size / median(one.of("wall"))),
                number(1000 * median(one.of("cpu")) / one.size),
                f"{charge.per_person:.4f}",
            ]


def _row(measurement: Measurement) -> list[Any]:
    return [
        measurement.case,
        measurement.side,
        f"{measurement.size:,}" if measurement.size else "–",
        len(measurement.samples),
        spread(measurement.of("wall")),
        spread(measurement.of("cpu")),
        spread(measurement.of("before_cpu")),
        spread([peak / 1e9 for peak in measurement.of("peak")]),
        spread([peak / 1e9 for peak in measurement.of("before_peak")]),
    ]


def main() -> None:
    """Writes the page and the chart beside the results, and prints the page."""
    path = Path(sys.argv[1])
    results = read(path)
    chart = path.with_suffix(".svg")
    page = render(results, chart.name)
    path.with_suffix(".md").write_text(page, encoding="utf-8")
    print(page)
    from bench.chart import draw

    chart.write_text(draw(results), encoding="utf-8")


if __name__ == "__main__":
    main()
