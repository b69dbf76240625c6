"""What became of requests of unknown outcome, by the credits that later answers say are left.

Every answer tells what it cost and the balance after it, so whatever else was charged shows as a *gap*
between two neighbouring answers: the balance after the first, less the cost and the balance of the second.
Without a top-up the balance only falls, so answers are in the vendor's order once those that overlap in time
are sorted by balance. A request is bracketed by the last answer closed before it was sent and the first sent
after its lease, because a vendor may go on working when the connection broke; its charge is between them.

- No gap there: it was not charged, whoever else uses the account, since charges only add up.
- One gap there that nothing else explains, no bigger than the request may cost: it was charged that much.
  Requests that share gaps are settled together: all charged in full, or none.
- Anything else stays unknown: no bracket; a top-up, an answer that does not tell both numbers, or a doubtful
  order in between; a gap too big; somebody else who uses the account at about that time.

This rests on what nobody can check: a top-up is bigger than what the requests around it cost, so that the
balance is seen to rise; the times come from one clock; what a request may cost is not underestimated; and a
fall that it explains, where nobody else was seen, was its charge.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from buena_pipeline.schema import TIMESTAMP

REQUESTS: Final = pl.Schema(
    {
        "request_id": pl.String(),
        "account": pl.String(),
        "sent_at": TIMESTAMP,
        "closed_at": TIMESTAMP,
        "lease_until": TIMESTAMP,
        "state": pl.String(),
        "people": pl.Int64(),
        "credits_reserved": pl.Float64(),
        "credits_used": pl.Float64(),
        "credits_remaining": pl.Float64(),
    }
)
"""One row per request, with its newest state; ``store.ledger()`` has these columns and more."""

SETTLED: Final = pl.Schema(
    {"request_id": pl.String(), "state": pl.String(), "credits_used": pl.Float64(), "reason": pl.String()}
)
"""What ``reconcile`` found out: the states are ``charged`` and ``not charged``."""

DRIFT: Final = pl.Schema(
    {
        "account": pl.String(),
        "charged_by_answers": pl.Float64(),
        "balance_fell": pl.Float64(),
        "drift": pl.Float64(),
        "topped_up": pl.Float64(),
    }
)
"""One row per account; the last three are null where fewer than two answers tell the balance."""

_UNIT: Final = 1_000_000
"""Credits are compared as whole millionths: sums are exact, and rounding cannot look like a charge."""

_NOISE: Final = 2
"""Millionths by which three rounded numbers may disagree."""

_NEIGHBOURHOOD: Final = timedelta(days=1)
"""How near in time somebody else's use of the account makes a gap doubtful."""

_NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)


def reconcile(requests: pl.DataFrame, *, now: datetime) -> pl.DataFrame:
    """Settles requests of unknown outcome as far as the balances around them prove it.

    Args:
        requests: schema ``REQUESTS``, of one or several accounts, any order; further columns are ignored.
            ``closed_at`` is null while a request is in flight. Requests without an account prove nothing.
        now: the time, with a time zone; a request in flight whose lease is over is of unknown outcome.

    Returns:
        Schema ``SETTLED``, in the order of ``requests``: only what can be settled.

    Example:
        >>> morning = datetime(2026, 5, 1, 9, tzinfo=UTC)
        >>> requests = pl.DataFrame(
        ...     {
        ...         "request_id": ["a", "b", "c"],
        ...         "account": "main",
        ...         "sent_at": [morning + timedelta(minutes=m) for m in (0, 1, 30)],
        ...         "closed_at": [morning + timedelta(minutes=m, seconds=9) for m in (0, 1, 30)],
        ...         "lease_until": [morning + timedelta(minutes=m + 10) for m in (0, 1, 30)],
        ...         "state": ["answered", "unknown", "answered"],
        ...         "people": [50, 50, 50],
        ...         "credits_reserved": [50.0, 50.0, 50.0],
        ...         "credits_used": [50.0, None, 40.0],
        ...         "credits_remaining": [940.0, None, 855.0],
        ...     }
        ... )
        >>> print(reconcile(requests, now=morning + timedelta(hours=1))["reason"].item())
        the balance went from 940 to 855 around it; answers explain 40, and 45 are left for this request

    Rests on ``creditsUsed`` and ``remainingCredits`` of ``POST /enrich``.
    """
    rows = _plain(requests).filter(pl.col("account").is_not_null())
    accounts = rows.partition_by("account", maintain_order=True)
    found = [_settle(part, now) for part in accounts if part["state"].is_in(["unknown", "in flight"]).any()]
    settled = pl.concat([SETTLED.to_frame(), *found])
    return rows.select("request_id").join(settled, on="request_id", maintain_order="left")


def drift(requests: pl.DataFrame) -> pl.DataFrame:
    """Compares what the answers say they cost with how far the balance fell.

    Args:
        requests: as for ``reconcile``; those without an account count as one account.

    Returns:
        Schema ``DRIFT``, one row per account in the order of their first requests. ``charged_by_answers`` is
        what all answers cost. Between the first and the last answer that tells the balance, ``balance_fell``
        is how far it fell, top-ups left out, and ``topped_up`` how far it rose. ``drift`` is what of the fall
        neither answers nor settled charges explain: 0 if all agrees.

    Example:
        >>> start = datetime(2026, 5, 1, tzinfo=UTC)
        >>> days = [start + timedelta(days=day) for day in range(3)]
        >>> answers = {"account": "main", "sent_at": days, "closed_at": days, "state": "answered"}
        >>> told = {"credits_used": [5.0, 5.0, 5.0], "credits_remaining": [95.0, 90.0, 73.0]}
        >>> drift(pl.DataFrame(answers | told)).row(0)
        ('main', 15.0, 22.0, 12.0, 0.0)

    Rests on ``creditsUsed`` and ``remainingCredits`` of ``POST /enrich``.
    """
    accounts = _plain(requests).partition_by("account", maintain_order=True)
    return pl.concat([DRIFT.to_frame(), *(_compare(part) for part in accounts)])


# --- the vendor's order ----------------------------------------------------------------------------------


def _plain(requests: pl.DataFrame) -> pl.DataFrame:
    """The columns of ``REQUESTS``, with credits in whole millionths; null for what was not told."""
    missing = [pl.lit(None).alias(name) for name in REQUESTS if name not in requests.columns]
    credits_ = pl.col("credits_reserved", "credits_used", "credits_remaining")
    return (
        requests.with_columns(missing)
        .select(REQUESTS.names())
        .cast(REQUESTS)
        .with_columns((credits_ * _UNIT).round().cast(pl.Int64, strict=False))
    )


def _credits(millionths: pl.Expr) -> pl.Expr:
    """Whole millionths as credits."""
    return (millionths / _UNIT).round(6)


def _tells_balance() -> pl.Expr:
    """Answers that tell both numbers, and 402s, which cost nothing and tell the balance."""
    answered = (pl.col("state") == "answered") & pl.col("credits_used").is_not_null()
    # a 402 that does not say what is left is read as 0: believed only where it says more
    refused = (pl.col("state") == "refused") & (pl.col("credits_remaining") > 0)
    told = pl.col("credits_remaining", "sent_at", "closed_at").is_not_null()
    return (answered | refused).fill_null(value=False) & pl.all_horizontal(told)


def _timeline(rows: pl.DataFrame) -> pl.DataFrame:
    """The balances of one account in the vendor's order, with the gap from each to the next.

    A gap that is a top-up, or beside a doubtful order, is not ``trusted``; a ``fall`` is one that is. What
    came before is summed up in ``spent`` (with this answer's own), ``fallen``, ``falls`` (how many they were)
    and ``doubts`` (how many gaps cannot be trusted).
    """
    gap = pl.col("left") - pl.col("after")
    muddled = pl.col("misplaced").any().over("period")
    trusted = ~muddled & ~muddled.shift(-1) & (pl.col("gap") >= 0)
    return (
        rows.filter(_tells_balance())
        .select(
            sent=pl.min_horizontal("sent_at", "closed_at"),
            closed=pl.max_horizontal("sent_at", "closed_at"),
            used=pl.when(pl.col("state") == "answered").then("credits_used").otherwise(0),
            left="credits_remaining",
        )
        .sort("sent")
        .with_columns(period=_starts_anew("sent", "closed"))
        .sort(["period", "left", "used"], descending=[False, True, True])
        .with_columns(top=pl.col("left") + pl.col("used"))
        .with_columns(before=pl.col("left").shift(1), after=pl.col("top").shift(-1))
        .with_columns(gap=pl.when(gap.abs() > _NOISE).then(gap).when(gap.is_not_null()).then(0))
        .with_columns(misplaced=_misplaced())
        .with_columns(trusted=trusted.fill_null(value=False))
        .with_columns(fall=pl.when("trusted").then("gap").otherwise(0))
        .with_row_index("position")
        .with_columns(
            spent=pl.col("used").cum_sum(),
            fallen=_before(pl.col("fall")),
            falls=_before((pl.col("fall") > 0).cast(pl.Int64)),
            doubts=_before((~pl.col("trusted")).cast(pl.Int64)),
        )
    )


def _misplaced() -> pl.Expr:
    """Whether an answer may stand at the wrong place in its busy period, for a top-up in the middle of it."""
    before, after = pl.col("before").first(), pl.col("after").last()
    rises = (pl.col("gap") < 0) & (pl.int_range(pl.len()) < pl.len() - 1)
    against_time = pl.col("sent") > pl.col("closed").reverse().cum_min().reverse().shift(-1)
    # where the balance rose at an edge of the period, an answer may belong beyond the top-up if its balance
    # fits there, unless a time says otherwise
    fits_before, fits_after = pl.col("top") <= before + _NOISE, pl.col("left") >= after - _NOISE
    early = (pl.col("top").first() - before > _NOISE) & fits_before
    late = (after - pl.col("left").last() > _NOISE) & fits_after
    surely_later = pl.col("sent") > pl.col("closed").filter(~fits_before).min()
    surely_earlier = pl.col("closed") < pl.col("sent").filter(~fits_after).max()
    doubtful = [rises, against_time, early & ~surely_later, late & ~surely_earlier]
    return pl.any_horizontal(part.fill_null(value=False) for part in doubtful).over("period")


def _starts_anew(start: str, end: str) -> pl.Expr:
    """Numbers groups of intervals that overlap; for rows in the order of their starts."""
    return (pl.col(start) > pl.col(end).cum_max().shift(1)).fill_null(value=False).cum_sum()


def _before(value: pl.Expr) -> pl.Expr:
    """The sum over the rows before."""
    return value.cum_sum().shift(1, fill_value=0)


# --- what may be in the gaps -----------------------------------------------------------------------------


def _charges(rows: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """The requests whose charge, if there was one, is in a gap, and from when to when it may have happened.

    They are of unknown outcome (``open``), or charged a known ``amount``, or neither: those still in flight,
    and answers that do not say what they cost. ``bound`` is what one may cost at most.
    """
    state, people = pl.col("state"), pl.col("people")
    answered, charged = state == "answered", state == "charged"
    price = pl.col("credits_used") / pl.when(people > 0).then(people)
    bound = (people * price.filter(answered).max()).round().cast(pl.Int64, strict=False)
    incomplete = answered & ~_tells_balance()
    return (
        rows.with_columns(
            open=(state == "unknown")
            | ((state == "in flight") & (pl.col("lease_until") < now)).fill_null(value=False),
            amount=pl.when(answered | charged).then("credits_used"),
            bound=pl.max_horizontal("credits_reserved", bound).fill_null(0),
            # a vendor may work on until the lease is over; a settled charge was closed when it was settled
            end=pl.when(answered)
            .then("closed_at")
            .when(charged)
            .then("lease_until")
            .when(pl.col("lease_until").is_not_null())
            .then(pl.max_horizontal("lease_until", "closed_at")),
        )
        .filter(state.is_in(["unknown", "in flight", "charged"]) | incomplete)
        .select("request_id", "open", "amount", "bound", sent="sent_at", end=pl.col("end").fill_null(_NEVER))
    )


def _bracketed(charges: pl.DataFrame, timeline: pl.DataFrame) -> pl.DataFrame:
    """The charges, each with the last answer that is surely before and the first that is surely after it.

    What the timeline tells of these two is there twice, of the second with ``_after``. ``clear`` says that
    there are both, and that every gap between them can be trusted.
    """
    closed = timeline.sort("closed").select(known="closed", first=pl.col("position").cum_max())
    sent = timeline.sort("sent").select(known="sent", last=pl.col("position").reverse().cum_min().reverse())
    told = timeline.select("position", "left", "spent", "fallen", "falls", "doubts")
    return (
        charges.sort("sent")
        .join_asof(closed, left_on="sent", right_on="known", allow_exact_matches=False)
        .sort("end")
        .join_asof(sent, left_on="end", right_on="known", strategy="forward", allow_exact_matches=False)
        .with_columns(bracketed=(pl.col("first") < pl.col("last")).fill_null(value=False))
        .with_columns(pl.col("first").fill_null(0), pl.col("last").fill_null(timeline.height - 1))
        .join(told, left_on="first", right_on="position")
        .join(told, left_on="last", right_on="position", suffix="_after")
        .with_columns(clear=pl.col("bracketed") & (pl.col("doubts") == pl.col("doubts_after")))
    )


# --- the verdicts ----------------------------------------------------------------------------------------


def _settle(rows: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """What can be settled of one account."""
    timeline = _timeline(rows)
    if timeline.is_empty():
        return SETTLED.to_frame()
    charges = _bracketed(_charges(rows, now), timeline)
    untouched = charges.filter("open", "clear", pl.col("falls") == pl.col("falls_after")).with_columns(
        opens=1, known=0, cost=0
    )
    shared = charges.filter(pl.col("falls") < pl.col("falls_after"))
    settled = pl.concat([untouched, _judge(shared, timeline)], how="diagonal_relaxed")
    return settled.select(
        "request_id",
        state=pl.when(pl.col("cost") > 0).then(pl.lit("charged")).otherwise(pl.lit("not charged")),
        credits_used=_credits(pl.col("cost")),
        reason=_reason(),
    )


def _judge(shared: pl.DataFrame, timeline: pl.DataFrame) -> pl.DataFrame:
    """The verdicts on charges with falls around them: those that share a fall are judged together."""
    members = shared.sort("falls").with_columns(
        cluster=(pl.col("falls") >= pl.col("falls_after").cum_max().shift(1)).fill_null(value=False).cum_sum()
    )
    unknown_bounds = pl.col("bound").filter("open")
    clusters = (
        members.group_by("cluster")
        .agg(
            pl.col("sent", "spent", "fallen", "falls").min(),
            pl.col("end", "spent_after", "fallen_after", "falls_after").max(),
            pl.col("left").sort_by("first").first(),
            pl.col("left_after").sort_by("last").last(),
            slack=_NOISE * pl.len().cast(pl.Int64),
            members=pl.len(),
            opens=pl.col("open").sum().cast(pl.Int64),
            sound=(pl.col("clear") & (pl.col("open") | pl.col("amount").is_not_null())).all(),
            known=pl.col("amount").sum(),
            most=unknown_bounds.sum(),
            bounded=(unknown_bounds > 0).all(),
        )
        .with_columns(rest=pl.col("fallen_after") - pl.col("fallen") - pl.col("known"))
    )
    rest, most, slack = pl.col("rest"), pl.col("most"), pl.col("slack")
    # one request is charged once: it cannot explain two falls
    overrun = (rest > most + slack) | (pl.col("falls_after") - pl.col("falls") > pl.col("members"))
    clusters = clusters.with_columns(overrun=pl.col("sound") & overrun)
    none = rest.abs() <= slack
    one = (pl.col("opens") == 1) & (rest > slack)
    all_in_full = pl.col("bounded") & (rest > slack) & ((rest - most).abs() <= slack)
    verdicts = clusters.filter("sound", none | one | all_in_full).join(
        _strangers(clusters, timeline), on="cluster", how="left"
    )
    return (
        members.filter("open")
        .select("request_id", "bound", "cluster")
        .join(verdicts.filter(none | pl.col("stranger").is_null()), on="cluster")
        .with_columns(cost=pl.when(none).then(0).when(one).then("rest").otherwise("bound"))
    )


def _strangers(clusters: pl.DataFrame, timeline: pl.DataFrame) -> pl.DataFrame:
    """The clusters near whose time the balance fell by what no request explains, themselves included."""
    ranges = clusters.select("overrun", low="falls", high="falls_after").sort("low")
    strange = (
        timeline.with_columns(until=pl.col("closed").shift(-1))
        .filter(pl.col("fall") > 0)
        .join_asof(ranges, left_on="falls", right_on="low")
        .filter(((pl.col("falls") < pl.col("high")) & ~pl.col("overrun")).fill_null(value=False).not_())
        .select(since="sent", until="until")
    )
    near = (pl.col("since") - _NEIGHBOURHOOD <= pl.col("end")) & (
        pl.col("sent") - _NEIGHBOURHOOD <= pl.col("until")
    )
    return (
        clusters.filter("sound")
        .select("cluster", "sent", "end")
        .join(strange, how="cross")
        .filter(near)
        .select(pl.col("cluster").unique())
        .with_columns(stranger=pl.lit(True))  # noqa: FBT003 - a value
    )


def _reason() -> pl.Expr:
    """The arithmetic, as a sentence."""

    def told(value: pl.Expr) -> pl.Expr:
        return _credits(value).cast(pl.String).str.strip_suffix(".0")

    spent = told(pl.col("spent_after") - pl.col("spent"))
    went = pl.format(
        "the balance went from {} to {} around it", told(pl.col("left")), told(pl.col("left_after"))
    )
    explained = pl.format(
        "{}; answers explain {}{}",
        went,
        spent,
        pl.when(pl.col("known") > 0)
        .then(pl.format(" and charges settled before {}", told(pl.col("known"))))
        .otherwise(pl.lit("")),
    )
    return (
        pl.when(pl.col("left") == pl.col("left_after"))
        .then(pl.format("the balance was {} before and after it", told(pl.col("left"))))
        .when(pl.col("cost") == 0)
        .then(pl.format("{}, which is all of it", explained))
        .when(pl.col("opens") == 1)
        .then(pl.format("{}, and {} are left for this request", explained, told(pl.col("cost"))))
        .otherwise(
            pl.format(
                "{}, and the other {} are the full price of the {} requests of unknown outcome in between",
                explained,
                told(pl.col("rest")),
                pl.col("opens"),
            )
        )
    )


# --- the receipt -----------------------------------------------------------------------------------------


def _compare(rows: pl.DataFrame) -> pl.DataFrame:
    """The line of one account."""
    timeline = _timeline(rows)
    gap, used = pl.col("gap"), pl.col("used")
    # where the order is doubtful, falls and rises are summed up before they count as one or the other
    nets = timeline.drop_nulls("gap").group_by(stretch=pl.col("trusted").rle_id()).agg(gap.sum())
    fell, rose = gap.clip(lower_bound=0).sum(), gap.clip(upper_bound=0).sum().neg()
    known = _bracketed(_charges(rows, _NEVER), timeline).filter("clear").select(known=pl.col("amount").sum())
    told = pl.concat(
        [nets.select(fell=fell, rose=rose), known, timeline.select(spent=used.sum() - used.first())],
        how="horizontal",
    ).select(
        balance_fell=pl.col("spent") + pl.col("fell"),
        drift=pl.col("fell") - pl.col("known"),
        topped_up=pl.col("rose"),
    )
    by_answers = pl.col("credits_used").filter(pl.col("state") == "answered").sum()
    line = rows.select(pl.col("account").first(), charged_by_answers=by_answers)
    comparable = pl.lit(timeline.height > 1)
    return (
        pl.concat([line, told.select(pl.when(comparable).then(pl.all()))], how="horizontal")
        .select("account", _credits(pl.exclude("account")))
        .cast(DRIFT)
    )
