-- The hashes by which people are suppressed: of the keys that were given, and of the strong ones the store knows.
--   in:  subject (key) and erased (person_id), the temporary tables of erasure_by_key.sql
--   out: the temporary table hashed (hash)

create or replace temp table hashed as
select distinct suppression_hash(key) as hash
from (
    select key from subject
    union
    select key from identity where kind <> 'name' and person_id in (select person_id from erased)
);
