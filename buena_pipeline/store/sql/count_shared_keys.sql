-- How many of the keys that were just written several people have, with those who turned out to be one.
--   in:  new_identity (key, kind)

select count(*)
from (
    select key
    from identity
    where kind <> 'name'
      and key in (select key from new_identity where kind <> 'name')
    group by key
    having min(person_id) <> max(person_id)
);
