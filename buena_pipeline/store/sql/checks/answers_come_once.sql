-- Every request has one answer a person at most, and so no more found than were asked for.
--
-- The same answer was written twice: values are right, counts of answers are not.
select request_id, person_id, count(*) as answers
from answer
group by request_id, person_id
having answers > 1;
