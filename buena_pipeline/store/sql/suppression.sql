-- The hashes by which people are suppressed: of the keys that were given, and of the strong ones the store knows.
--   in:  subject_key (row, key): who is meant, each person with a row number
--   out: the temporary table hashed (row, hash, given): given or known

create or replace temp table subject as
select distinct row, key from subject_key;

create or replace temp table hashed as
with recursive pointed_to as (
    select row, person_id from subject join identity using (key)
    union
    -- a person's id is the strongest key they were bought by
    select row, key from subject where key in (select person_id from answer)
    union
    select row, key from subject where key in (select unnest(people) from request)
),
pair as (
    select person_id, same_as as other from link
    union
    select same_as, person_id from link
),
reached(row, person_id) as (
    from pointed_to
    union
    select row, other from reached join pair using (person_id)
)
select row, suppression_hash(key) as hash, bool_or(given) as given
from (
    select row, key, true as given from subject
    union all
    select row, key, false from reached join identity using (person_id) where kind <> 'name'
)
group by all;
