-- The people of the store of whom nothing is younger than a moment: no answer, and no request that asked for them.
--   in:  cutoff (moment)
--   out: the temporary tables subject (key), which is empty, and erased (person_id)

create or replace temp table subject as
select null::uuid as key limit 0;

create or replace temp table erased as
with sighting as (
    select person_id, answered_at as moment from answer
    union all
    select unnest(people), happened_at from request
    union all
    select person_id, null from identity
    union all
    select unnest([person_id, same_as]), null from link
),
somebody as (
    select sighting.person_id, coalesce(same_as, sighting.person_id) as person, moment
    from sighting left join same_person using (person_id)
    where sighting.person_id <> '00000000-0000-0000-0000-000000000000'
)
select distinct person_id
from somebody
where person not in (select person from somebody where moment >= (select moment from cutoff));
