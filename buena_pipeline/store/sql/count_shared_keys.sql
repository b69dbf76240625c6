-- How many of the keys that this turn wrote several people have, with those who turned out to be one.
--   in:  written (kind, value)

select count(*)
from (
    select key
    from identity
    where kind <> 'name'
      and key in (select md5(concat(kind, chr(31), value))::uuid from written where kind <> 'name')
    group by key
    having min(person_id) <> max(person_id)
);
