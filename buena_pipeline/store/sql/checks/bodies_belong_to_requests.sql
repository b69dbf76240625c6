-- Every raw body belongs to a request of the ledger.
--
-- Both are written in one transaction, so rows were lost or written by hand.
select request_id, person_id
from response
where not exists (from request where request.request_id = response.request_id);
