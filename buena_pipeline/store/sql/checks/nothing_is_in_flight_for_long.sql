-- No request is in flight whose lease ended more than a day ago.
--
-- Its process died, so it was perhaps charged; the next run sees to it.
select request_id
from newest_request
where state = 'in flight' and lease_until < now()::timestamptz - interval 1 day;
