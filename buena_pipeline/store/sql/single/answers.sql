-- All answers about some people.
--   in:  $people
--   out: the temporary table known_answer, one row per id that was asked for (person_id) and answer; current_id is
--        who that id stands for by now, answered_at is in microseconds since 1970

create or replace temp table known_answer as
with asked as (
    select person_id, coalesce(same_as, person_id) as current_id
    from (select unnest($people::uuid[]) as person_id) left join same_person using (person_id)
),
-- under whichever ids the answers came: a filter on person_answer would have to compute the id of everybody
alias as (
    select current_id as person_id from asked
    union all
    select person_id from same_person where same_as in (select current_id from asked)
),
-- by row number, so that the other columns are read of these rows only
answered as (
    from answer where rowid in (select rowid from answer where person_id in (from alias))
)
select
    answered.* replace (asked.person_id::varchar as person_id, epoch_us(answered_at) as answered_at),
    current_id::varchar as current_id
from answered
left join same_person using (person_id)
join asked on asked.current_id = coalesce(same_as, answered.person_id);
