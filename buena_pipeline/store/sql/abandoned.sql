-- Requests whose process is gone, or whose lease is over: nobody knows whether they were charged, unless they never left.
--   in:  living (run_id), the runs that live
--        departed (run_id, requests), runs that are gone, as far as they told, and which of their requests have left

insert into request by name
select request_id, run_id, case when stayed then 'failed' else 'unknown' end as state, now() as happened_at, lease_until, blocks,
       people, credits_reserved, account,
       case when stayed then 'the process ended before it was sent'
            when run_id in (select run_id::uuid from living) then 'the answer did not come within its lease'
            else 'the process ended before the answer was stored' end as reason
from (
    select request.*, coalesce(not list_contains(departed.requests, request_id::varchar), false) as stayed
    from request left join departed on departed.run_id::uuid = request.run_id
    -- not from newest_request, which would look at the people of every request there ever was
    where request_id in (select request_id from newest_request where state = 'in flight')
)
where lease_until < now() or run_id not in (select run_id::uuid from living);
