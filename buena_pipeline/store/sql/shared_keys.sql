-- Keys that this commit wrote and that now point to several people: the same person bought twice, or a key that
-- says nothing. Which of the two is decided by aliases.link_people.
--   in:  new_identity
--   out: the temporary table shared (key, person_id, known_since, profiles)

create or replace temp table shared as
with holder as (
    select key, person_id, min(known_at) as known_since
    from person_key
    where kind <> 'name'
      and key in (select md5(concat(kind, chr(31), value))::uuid from new_identity where kind <> 'name')
    group by key, person_id
    qualify count(*) over (partition by key) > 1
),
profile as (
    select person_id, list(distinct key::varchar) as profiles
    from person_key
    where kind = 'linkedin' and person_id in (select person_id from holder)
    group by person_id
)
select holder.*, coalesce(profiles, []) as profiles
from holder left join profile using (person_id);
