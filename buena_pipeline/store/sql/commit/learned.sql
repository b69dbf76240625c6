-- Keys that came without a request: what a table says of people who are known already.
--   in:  new_learned

insert into identity by name
select distinct key, kind, person_id::uuid as person_id, known_at
from new_learned
where
  -- somebody may have been erased since they were looked up
  person_id::uuid in (select person_id from person_answer)
  and (key, person_id::uuid) not in (select (key, person_id) from person_key);
