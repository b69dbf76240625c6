-- No request found more people than it asked for.
--
-- Either answers stand under the wrong request, or the request lost people.
select request_id, count(*) as people_found
from answer
where found
group by request_id
having people_found > (select max(len(people)) from request where request.request_id = answer.request_id);
