-- The ledger as people read it: one row per request as it stands now, oldest first.

select request_id, run_id, account, sent_at, closed_at, settled_at, lease_until, state, blocks,
       len(people) as people, credits_reserved, credits_used, credits_remaining, reason
from newest_request
order by sent_at, request_id;
