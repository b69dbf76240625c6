-- The records of some people, newest values first.
--   in:  wanted (asked_id)
--   out: the temporary view record, one row per id that was asked for and person that was ever found

create or replace temp table asked as
select asked_id, coalesce(same_as, asked_id::uuid) as person_id
from wanted left join same_person on same_person.person_id = asked_id::uuid;

create or replace temp table hit as
select person_id, count(*) as answers
from person_answer
where found and person_id in (select person_id from asked)
group by person_id;

-- Most people were answered once, and need no aggregation.
create or replace temp table repeated as
select * from person_answer
where found and person_id in (select person_id from hit where answers > 1);

create or replace temp view record as
with single as (
    select * exclude (request_id, answered_at, found, reason, has_personal, has_company, has_social, has_contact),
           answered_at as enriched_at
    from person_answer
    where found and person_id in (select person_id from hit where answers = 1)
    union all by name
    select * exclude (status, error) from newest_answers('repeated')
)
select asked_id, single.* from asked join single using (person_id);
