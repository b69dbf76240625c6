-- The sums of the ledger count each request once: by its answer, else by what was settled.
--
-- A view was changed by hand, and shows other sums than the rows of the ledger make; copy the file, and report it.
with counted as (
    -- not by way of newest_request, which is one of the two that are looked at
    select request_id,
           case when not bool_or(state in ('failed', 'refused'))
                then coalesce(max(credits_used) filter (state = 'answered'), max(credits_used) filter (state = 'charged'), 0)
                else 0 end as credits_used
    from request
    group by request_id
),
total as (
    select coalesce(sum(credits_used), 0) as credits_used from counted
),
told as (
    select 'newest_request' as name, coalesce(sum(credits_used), 0) as credits_used from newest_request
    union all
    select 'credits_by_day', coalesce(sum(credits_used), 0) from credits_by_day
)
select name, told.credits_used as told, total.credits_used as counted
from told, total
where told.credits_used <> total.credits_used and abs(told.credits_used - total.credits_used) > 1e-6;
