-- State changes of requests.
--   in:  new_request

insert into request by name
select request_id::uuid as request_id, run_id::uuid as run_id, people::uuid[] as people,
       * exclude (request_id, run_id, people)
from new_request;
