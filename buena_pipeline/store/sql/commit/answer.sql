-- What it says, typed.
--   in:  new_answer, fresh

insert into answer by name
select request_id::uuid as request_id, person_id::uuid as person_id, * exclude (request_id, person_id)
from new_answer
where request_id::uuid in (select request_id from fresh where state <> 'in flight');
