"""A report or a plan as a table in a notebook: HTML by great-tables, without scripts or a network."""

from __future__ import annotations

from typing import Final

import polars as pl
from great_tables import GT

from buena_pipeline.columns import describe_columns
from buena_pipeline.report.figures import Told
from buena_pipeline.result import EnrichmentPlan, EnrichmentReport

_ID: Final = "buena-enrichment"
_ROW: Final = pl.Schema(
    {
        "part": pl.String(),
        "what": pl.String(),
        "number": pl.Float64(),
        "share": pl.Float64(),
        "note": pl.String(),
    }
)


def table(told: Told) -> str:
    """The HTML of a report or a plan: rows, people and credits, with shares and reasons.

    Args:
        told: an ``EnrichmentReport`` or an ``EnrichmentPlan``.

    Returns:
        An HTML fragment with its own style; what ``_repr_html_`` gives to notebooks.

    Example:
        >>> import tempfile
        >>> from buena_pipeline import plan_frame
        >>> leads = pl.DataFrame({"email": ["jane.doe@acme.example"]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plan = plan_frame(leads, store=f"{folder}/buena.duckdb")
        >>> "What enriching would do" in table(plan), "jane" in table(plan)
        (True, False)
    """
    planned = isinstance(told, EnrichmentPlan)
    lines = _plan_lines(told) if isinstance(told, EnrichmentPlan) else _report_lines(told)
    drawn = (
        GT(pl.DataFrame(lines, schema=_ROW, orient="row"), rowname_col="what", groupname_col="part", id=_ID)
        .tab_header("What enriching would do" if planned else "What enriching did", _headline(told))
        .fmt_number("number", decimals=2, drop_trailing_zeros=True)
        .fmt_percent("share", decimals=1, drop_trailing_zeros=True)
        .sub_missing("share", missing_text="")
        .cols_align("left", "note")
        .tab_options(
            heading_align="left",
            table_margin_left="0",
            table_font_size="14px",
            data_row_padding="4px",
            row_group_font_weight="bold",
            column_labels_hidden=True,
        )
    )
    html: str = drawn.as_raw_html()
    return html


Line = tuple[str, str, float, float | None, str]


def _headline(told: Told) -> str:
    known = told.cached + (told.to_buy if isinstance(told, EnrichmentPlan) else told.enriched)
    outcome = "could be enriched" if isinstance(told, EnrichmentPlan) else "are enriched"
    return f"{known:,} of {told.people:,} people {outcome}"


def _report_lines(report: EnrichmentReport) -> list[Line]:
    people = [
        ("from the store", report.cached, ""),
        ("bought", report.enriched, ""),
        ("not found", report.failed, f"{report.failed_remembered:,} of them known before"),
        ("deferred", report.deferred, _deferred(report)),
        ("suppressed", report.suppressed, "on the do-not-enrich list"),
    ]
    left = report.credits_remaining
    return [
        *_rows(report),
        *_of_people(report, people),
        ("Credits", "used", report.credits_used, None, f"in {_requests(report)}"),
        ("Credits", "avoided", report.credits_avoided, None, _avoided(report, report.failed_remembered)),
        *([("Credits", "left", left, None, "as the vendor said last")] if left is not None else []),
        *([("Credits", "perhaps charged", report.unknown, None, _UNKNOWN)] if report.unknown else []),
    ]


def _plan_lines(plan: EnrichmentPlan) -> list[Line]:
    people = [
        ("from the store", plan.cached, ""),
        ("to buy", plan.to_buy, f"{plan.stale:,} because it is too old" if plan.stale else ""),
        ("not found lately", plan.failed, "not asked for again yet"),
        ("on their way", plan.elsewhere, "bought by another run"),
        ("deferred", plan.deferred, f"{plan.unknown:,} perhaps charged already" if plan.unknown else ""),
        ("suppressed", plan.suppressed, "on the do-not-enrich list"),
    ]
    columns = dict(describe_columns(plan.columns, plan.unread, invalid=plan.invalid))
    return [
        *_rows(plan, read=f"read: {columns['read']}", perhaps=columns.get("perhaps", "")),
        *_of_people(plan, people),
        (
            "Credits",
            "at most",
            plan.max_credits,
            None,
            f"in {_requests(plan)}, {plan.shortest_time} or more",
        ),
        (
            "Credits",
            "avoided",
            plan.duplicates + plan.cached + plan.failed,
            None,
            _avoided(plan, plan.failed),
        ),
    ]


_UNKNOWN: Final = "people of requests of unknown outcome; see the ledger"


def _rows(told: Told, *, read: str = "", perhaps: str = "") -> list[Line]:
    lines = [
        ("rows", told.rows, read),
        ("duplicates", told.duplicates, ""),
        ("invalid", told.invalid, perhaps),
    ]
    return [("Rows", what, count, _share(count, told.rows), note) for what, count, note in lines]


def _of_people(told: Told, lines: list[tuple[str, int, str]]) -> list[Line]:
    """The people, and what became of them; of the rare ones only what there is."""
    whole = ("People", "people", told.people, _share(told.people, told.people), "")
    always = {"bought", "to buy", "from the store"}
    return [
        whole,
        *(
            ("People", what, count, _share(count, told.people), note)
            for what, count, note in lines
            if count or what in always
        ),
    ]


def _share(count: int, of: int) -> float | None:
    return count / of if of else None


def _requests(told: Told) -> str:
    return f"{told.requests:,} request{'' if told.requests == 1 else 's'}"


def _deferred(report: EnrichmentReport) -> str:
    until = f"; run again after {report.resume_at:%Y-%m-%d %H:%M:%S %Z}" if report.resume_at else ""
    return f"{report.deferred_reason or ''}{until}"


def _avoided(told: Told, remembered: int) -> str:
    return (
        f"{told.duplicates:,} by duplicates, {told.cached:,} by the store, "
        f"{remembered:,} by remembered failures"
    )
