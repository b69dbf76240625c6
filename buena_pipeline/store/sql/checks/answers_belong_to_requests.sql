-- Every answer belongs to a request of the ledger that was answered.
--
-- Both are written in one transaction, so rows were lost or written by hand.
select person_id, request_id
from answer
where not exists (from request where request.request_id = answer.request_id and state = 'answered');
