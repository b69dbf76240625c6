-- Every request belongs to a run that was started.
--
-- Rows were lost or written by hand.
select request_id, any_value(run_id) as run_id
from request
group by request_id
having not exists (from run where run.run_id = any_value(request.run_id) and run.state = 'started');
