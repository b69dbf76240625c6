-- One row per run, oldest first, with the counts of its report; these are null for a run without one.

with last_run as (
    select run_id, min(happened_at) as started_at,
           max(happened_at) filter (state <> 'started') as ended_at,
           coalesce(arg_max(state, happened_at) filter (state <> 'started'), 'started') as state,
           max(rows) as rows,
           arg_max(summary, happened_at) filter (state <> 'started') as summary
    from run
    group by run_id
),
unpacked as (
    select *, json_transform(case when json_valid(summary) then summary end, '{
        "people": "UBIGINT", "duplicates": "UBIGINT", "cached": "UBIGINT", "enriched": "UBIGINT",
        "failed": "UBIGINT", "failed_remembered": "UBIGINT", "deferred": "UBIGINT",
        "suppressed": "UBIGINT", "unknown": "UBIGINT", "requests": "UBIGINT",
        "credits_used": "DOUBLE", "credits_remaining": "DOUBLE"}') as report
    from last_run
)
select run_id, started_at, ended_at, state, rows, report.people, report.cached, report.enriched,
       report.failed, report.deferred, report.suppressed, report.unknown, report.requests,
       report.credits_used, report.duplicates as avoided_by_duplicates,
       report.cached as avoided_by_store, report.failed_remembered as avoided_by_failures,
       report.credits_remaining, summary
from unpacked
order by started_at, run_id;
