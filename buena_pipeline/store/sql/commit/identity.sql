-- Keys of people who are asked for, and those that answers confirm.
--   in:  new_identity

insert into identity by name
select key, kind, person_id::uuid as person_id,
       request_id::uuid as request_id, known_at
from new_identity;
