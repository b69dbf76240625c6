-- Enters what the credits left say of requests of unknown outcome.
--   in:  settled (request_id, state, credits_used, reason)

insert into request by name
select newest_request.request_id, run_id, settled.state, now() as happened_at, lease_until, blocks, people, credits_reserved,
       settled.credits_used, settled.reason, account
from newest_request join settled on settled.request_id::uuid = newest_request.request_id;
