-- Credits are amounts from 0 on, and only an answered or charged request used any.
--
-- The sums of the ledger and of credits_by_day are wrong by these rows.
select request_id, state, credits_used
from request
where not (credits_used >= 0 and isfinite(credits_used))
   or (credits_used > 0 and state not in ('answered', 'charged'));
