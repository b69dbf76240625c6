-- Credits used since $since, with those that requests on their way or of unknown outcome may cost.

select coalesce(sum(
    case when state in ('in flight', 'unknown') then credits_reserved
         when state in ('answered', 'charged') then coalesce(credits_used, credits_reserved) end
), 0)
from newest_request
where sent_at >= $since;
