-- The people of the store whom some keys point to, with everybody who turned out to be one of them.
--   in:  subject_key (key)
--   out: the temporary tables subject (key) and erased (person_id)

create or replace temp table subject as
select distinct key from subject_key;

create or replace temp table erased as
with recursive pointed_to as (
    select person_id from identity where key in (select key from subject)
    union
    -- a person's id is the strongest key they were bought by
    select person_id from answer where person_id in (select key from subject)
    union
    select person_id from (select unnest(people) as person_id from request) where person_id in (select key from subject)
),
pair as (
    select person_id, same_as as other from link
    union
    select same_as, person_id from link
),
reached(person_id) as (
    select person_id from pointed_to
    union
    select other from reached join pair using (person_id)
)
select person_id from reached;
