-- Whom some keys point to.
--   in:  $keys
--   out: each pair of a key and a person once

select key::varchar as key, person_id::varchar as person_id, bool_or(own) as own
from person_key
where key in (select unnest($keys::uuid[]))
group by all;
