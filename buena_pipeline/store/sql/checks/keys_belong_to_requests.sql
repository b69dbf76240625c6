-- Every key that came with a request has that request in the ledger.
--
-- Both are written in one transaction, so rows were lost or written by hand.
select key, kind, request_id
from identity
where request_id is not null
  and not exists (from request where request.request_id = identity.request_id);
