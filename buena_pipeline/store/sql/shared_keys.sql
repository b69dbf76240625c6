-- Keys that this turn wrote and that now point to several people: the same person bought twice, or a key that
-- says nothing. Which of the two is decided by aliases.link_people.
--   in:  written (key)
--   out: the temporary table shared (key, person_id, known_since, profiles, names)

create or replace temp table shared as
with holder as (
    select key, kind, person_id, min(known_at) as known_since
    from person_key
    where kind <> 'name'
      and key in (select key from written)
    group by key, kind, person_id
    qualify count(*) over (partition by key) > 1
),
profile as (
    select person_id, list(distinct key::varchar) as profiles
    from person_key
    where kind = 'linkedin' and person_id in (select person_id from holder)
    group by person_id
),
name as (
    select person_id, list(distinct strip_accents(lower(concat_ws(' ', first_name, last_name)))) as names
    from person_answer
    where found and first_name is not null and last_name is not null and person_id in (select person_id from holder)
    group by person_id
)
select holder.* exclude (kind), coalesce(profiles, []) as profiles,
       -- a profile or member id is one person's whatever the names; an address may be several people's
       case when kind in ('linkedin', 'member') then [] else coalesce(names, []) end as names
from holder left join profile using (person_id) left join name using (person_id);
