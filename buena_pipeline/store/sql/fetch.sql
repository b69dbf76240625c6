-- The records of some people, newest values first.
--   in:  wanted (slot, person_id, row): row is the answer that is all there is of them, where that is known
--   out: the temporary view record, one row per slot whose person was ever found

create or replace temp table asked as
select slot, coalesce(same_as, wanted.person_id) as person_id
from wanted left join same_person using (person_id)
where row is null;

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
),
placed as (
    select slot, answer.* replace (coalesce(same_as, answer.person_id) as person_id), answered_at as enriched_at
    from answer join wanted on answer.rowid = wanted.row
    left join same_person on same_person.person_id = answer.person_id
)
select slot, single.* from asked join single using (person_id)
union all by name
select * exclude (request_id, answered_at, found, reason, has_personal, has_company, has_social, has_contact)
from placed;
