-- Which keys are on the do-not-enrich list.
--   in:  $keys

select key::varchar as key
from (select unnest($keys::uuid[]) as key)
where suppression_hash(key) in (select hash from suppression);
