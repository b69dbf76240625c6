-- What the vendor sent, as it came.
--   in:  new_response, fresh

insert into response by name
select request_id::uuid as request_id, person_id::uuid as person_id, * exclude (request_id, person_id)
from new_response
where request_id::uuid in (select request_id from fresh where state <> 'in flight');
