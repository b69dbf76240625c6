-- Requests whose process is gone, or whose lease is over: nobody knows whether they were charged.
--   in:  living (run_id), the runs that live

insert into request by name
select request_id, run_id, 'unknown' as state, now() as happened_at, lease_until, blocks, people, credits_reserved, account,
       case when run_id in (select run_id::uuid from living) then 'the answer did not come within its lease'
            else 'the process ended before the answer was stored' end as reason
from request
-- not from newest_request, which would look at the people of every request there ever was
where request_id in (select request_id from newest_request where state = 'in flight')
  and (lease_until < now() or run_id not in (select run_id::uuid from living));
