-- The newest word of the vendor on an account's rate limits; its limit holds also when its window has begun anew.
--   in: $account, $since (of requests that count)

with told as (
    select opened.happened_at as observed_at, answered.happened_at as answered_at,
           answered.quota_window, answered.quota_limit, answered.quota_remaining, answered.quota_resets_at
    from request as answered
    join request as opened on opened.request_id = answered.request_id and opened.state = 'in flight'
    where answered.account = $account
      and answered.quota_resets_at is not null
      and answered.happened_at > $since
      and opened.happened_at > $since
)
-- answers overtake each other: of the newest window, the smallest figure is the last one
select observed_at, quota_window, quota_limit, quota_remaining, quota_resets_at
from told
where (quota_window, quota_resets_at) = (
    select (quota_window, quota_resets_at) from told order by answered_at desc limit 1
)
order by quota_remaining, observed_at desc
limit 1;
