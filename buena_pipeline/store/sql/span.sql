-- The answers between two places in the file.
--   in: names of columns, and the first and last place
select {}
from (
    select answer.* replace (coalesce(same_as, answer.person_id) as person_id), answered_at as enriched_at,
           answer.rowid as row
    from answer left join same_person using (person_id)
    where answer.rowid between {} and {}
)
