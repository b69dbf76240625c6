-- What a lead has cost lately: the dearest kind of request, each kind by its median; null if nothing was bought yet.

with recent as (
    select request_id, credits_used, blocks, len(people) as people
    from request
    where state = 'answered' and credits_used > 0
    order by happened_at desc
    limit 20
),
found as (
    select request_id, count(*) as answered, count(*) filter (found) as found
    from answer
    where request_id in (select request_id from recent)
    group by request_id
)
select max(price)
from (
    select median(credits_used / coalesce(nullif(found, 0), answered)) as price
    from recent join found using (request_id)
    -- an answer that leaves out people it charged would make the others look dear
    where answered = people
    group by blocks
);
