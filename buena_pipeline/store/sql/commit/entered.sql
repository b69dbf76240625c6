-- Which of some state changes of requests are entered already.
--   in:  new_request (request_id, state)

select request.request_id::varchar as request_id, request.state
from request semi join new_request
  on request.request_id = new_request.request_id::uuid and request.state = new_request.state;
