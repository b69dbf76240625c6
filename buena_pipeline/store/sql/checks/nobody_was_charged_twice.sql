-- Nobody was charged for a block that was younger than the run's max_age, as far as one could know who they are.
--
-- That is as it should be after a run with retry_unknown; else please report it.
with terms as (
    -- null for any age; runs of older releases and single leads do not tell, and have the default
    select run_id, max(coalesce(try_cast(summary ->> 'max_age_days' as double), 36500)) as days
    from run where state = 'started' and json_valid(summary) group by run_id
),
asked as (
    select request_id, any_value(run_id) as run_id from request group by request_id
),
repeated as (
    select person_id from person_answer where found group by person_id having count(*) > 1
),
-- since when it is known that somebody bought under this id is the person they are
known as (
    select person_id, min(linked_at) as linked_at from link group by person_id
),
purchase as (
    select
        coalesce(same_as, answer.person_id)                                              as person_id,
        answer.person_id                                                                 as bought_as,
        coalesce(linked_at, '-infinity')                                                 as linked_at,
        request_id,
        coalesce(days, 90)                                                               as days,
        answered_at,
        unnest(['personal', 'company', 'social', 'contact'])                             as block,
        unnest([has_personal, has_company, has_social, has_contact])                     as bought
    from answer left join same_person using (person_id) left join known using (person_id)
        left join asked using (request_id) left join terms using (run_id)
    where found and coalesce(same_as, answer.person_id) in (from repeated)
),
neighbours as (
    select *,
        lag(request_id)  over before as previous_request,
        lag(answered_at) over before as previous_at,
        lag(bought_as)   over before as previous_as,
        lag(linked_at)   over before as previously_linked_at
    from purchase
    where bought
    window before as (partition by person_id, block order by answered_at, request_id)
)
select distinct person_id, request_id
from neighbours
where (request_id, bought_as) <> (previous_request, previous_as)
  and epoch(answered_at) - epoch(previous_at) < days * 86400
  and (bought_as = previous_as or greatest(linked_at, previously_linked_at) < answered_at);
