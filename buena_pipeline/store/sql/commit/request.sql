-- State changes of requests, and which of them are new: whatever an answer brought is written with its state only, so
-- that a commit without acknowledgement can be made again.
--   in:  new_request
--   out: the temporary table fresh (request_id, state)

create or replace temp table fresh as
select distinct request_id::uuid as request_id, state from new_request
except
select request_id, state from request;

insert into request by name
select request_id::uuid as request_id, run_id::uuid as run_id, people::uuid[] as people,
       * exclude (request_id, run_id, people)
from new_request
where (request_id::uuid, state) in (select (request_id, state) from fresh);
