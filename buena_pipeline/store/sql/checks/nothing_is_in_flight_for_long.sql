-- No request is in flight whose lease ended more than a day ago.
--
-- Its process died, so it was perhaps charged; the next run sees to it.
select request_id
from request
group by request_id
having arg_max(state, happened_at) = 'in flight' and max(lease_until) < now()::timestamptz - interval 1 day;
