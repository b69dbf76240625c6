-- What answers say, typed.
--   in:  new_answer

insert into answer by name
select request_id::uuid as request_id, person_id::uuid as person_id, * exclude (request_id, person_id)
from new_answer;
