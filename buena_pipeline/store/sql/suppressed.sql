-- People of the table who must not be enriched: by a key of their rows, or by one the store knows of them.
--   in:  incoming, person_has, rank_of (lookup.sql)
--   out: rows added to the temporary table suppressed

insert into suppressed
with matched as (
    select person, incoming.kind, person_key.person_id
    from incoming join person_key using (key)
)
select person from incoming where suppression_hash(key) in (select hash from suppression)
union
select matched.person
from matched join person_key using (person_id) join person_has using (person)
where (matched.kind < rank_of('name') or strongest = rank_of('name'))
  and person_key.kind <> 'name'
  and suppression_hash(person_key.key) in (select hash from suppression);
