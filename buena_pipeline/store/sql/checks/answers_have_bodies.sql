-- Every answer has the raw body it was read from.
--
-- Its typed columns are there, but what the vendor sent is lost.
select person_id, request_id
from answer
where not exists (
    from response where response.request_id = answer.request_id and response.person_id = answer.person_id
);
