-- What each finished run reported as used is what its requests used.
--
-- Rows of the ledger were lost or written by hand; compare with the credits the vendor says are left.
with report as (
    select run_id,
           case when json_valid(summary) then try_cast(summary->>'$.credits_used' as double) end as credits_used
    from run
    where state = 'finished'
),
-- no moment is compared, clocks jump: a run that finished has had all its answers, and what was settled may be in its
-- report or may not, since nobody knows from here whether that was before its end
spent as (
    select run_id,
           coalesce(sum(credits_used) filter (state = 'answered'), 0)               as answered,
           coalesce(sum(credits_used) filter (state in ('answered', 'charged')), 0) as charged
    from newest_request
    group by run_id
),
-- the run estimated where the vendor did not say, and an answer that waits in the journal is not here yet
open as (
    select run_id from request where state = 'answered' and credits_used is null
    union
    select run_id from newest_request where state = 'in flight'
)
select run_id, report.credits_used as reported, coalesce(answered, 0) as answered
from report left join spent using (run_id)
where run_id not in (select run_id from open where run_id is not null)
  and report.credits_used not between coalesce(answered, 0) - 1e-6 and coalesce(charged, 0) + 1e-6;
