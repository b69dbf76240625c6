-- What the vendor sent, as it came.
--   in:  new_response

insert into response by name
select request_id::uuid as request_id, person_id::uuid as person_id, * exclude (request_id, person_id)
from new_response;
