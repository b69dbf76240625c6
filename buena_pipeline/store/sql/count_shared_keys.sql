-- How many of the keys that this turn wrote several people have, with those who turned out to be one.
--   in:  written (key)

select count(*)
from (
    select key
    from identity
    where kind <> 'name'
      and key in (select key from written)
    group by key
    having min(person_id) <> max(person_id)
);
