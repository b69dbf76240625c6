-- People of the table who must not be enriched: by a key of their rows, or by one the store knows of them.
--   in:  incoming_key, matched, matched_person (lookup.sql)
--   out: rows added to the temporary table suppressed

insert into suppressed
with weak as (select person from incoming_key group by person having bool_and(kind = 'name'))
select person from incoming_key where suppression_hash(key) in (select hash from suppression)
union
select matched.person
from matched join person_key using (person_id)
where (matched.kind <> 'name' or matched.person in (from weak))
  and person_key.kind <> 'name'
  and suppression_hash(person_key.key) in (select hash from suppression);
