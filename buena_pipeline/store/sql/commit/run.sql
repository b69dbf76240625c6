-- State changes of runs.
--   in:  new_run

insert into run by name
select run_id::uuid as run_id, * exclude (run_id) from new_run
where (run_id::uuid, state) not in (select (run_id, state) from run);
