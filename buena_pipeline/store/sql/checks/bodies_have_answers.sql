-- Every raw body of a person has its typed answer.
--
-- What was paid for is in the body, but the views do not show it, and it would be bought again.
select request_id, person_id
from response
where person_id is not null
  and not exists (
    from answer where answer.request_id = response.request_id and answer.person_id = response.person_id
  );
