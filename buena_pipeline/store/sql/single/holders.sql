-- What other keys some people have, as far as the rules of identity ask for them.
--   in:  $people
--   out: one row per person

with asked as (select unnest($people::uuid[]) as person_id),
-- under whichever ids their keys were written: a filter on person_key would have to compute the id of everybody
alias as (from asked union all select person_id from same_person where same_as in (from asked))
select
    coalesce(same_as, identity.person_id)::varchar                                               as person_id,
    bool_and(kind = 'name')                                                                      as weak_only,
    coalesce(list(key::varchar) filter (kind = 'linkedin'), [])                                  as profiles,
    coalesce(bool_or(suppression_hash(key) in (select hash from suppression)) filter (kind <> 'name'), false) as listed
from identity left join same_person using (person_id)
where identity.person_id in (from alias) and coalesce(same_as, identity.person_id) in (from asked)
group by all;
