-- One transaction: state changes of requests, and what their answers brought.
--   in:  new_run, new_request, new_response, new_answer, new_identity
-- Idempotent: what a commit without acknowledgement has written already is not written again.

create or replace temp table fresh as
select distinct request_id::uuid as request_id, state from new_request
except
select request_id, state from request;

insert into run by name
select run_id::uuid as run_id, * exclude (run_id) from new_run
where (run_id::uuid, state) not in (select (run_id, state) from run);

insert into request by name
select request_id::uuid as request_id, run_id::uuid as run_id, people::uuid[] as people,
       * exclude (request_id, run_id, people)
from new_request
where (request_id::uuid, state) in (select (request_id, state) from fresh);

insert into response by name
select request_id::uuid as request_id, person_id::uuid as person_id, * exclude (request_id, person_id)
from new_response
where request_id::uuid in (select request_id from fresh where state <> 'in flight');

insert into answer by name
select request_id::uuid as request_id, person_id::uuid as person_id, * exclude (request_id, person_id)
from new_answer
where request_id::uuid in (select request_id from fresh where state <> 'in flight');

insert into identity by name
select md5(concat(kind, chr(31), value))::uuid as key, kind, person_id::uuid as person_id,
       request_id::uuid as request_id, known_at
from new_identity
where request_id::uuid in (select request_id from fresh);

-- Keys that came without a request: what a table says of people who are known already.
insert into identity by name
select distinct md5(concat(kind, chr(31), value))::uuid as key, kind, person_id::uuid as person_id, known_at
from new_identity
where request_id is null
  and (md5(concat(kind, chr(31), value))::uuid, person_id::uuid) not in (select (key, person_id) from person_key);
