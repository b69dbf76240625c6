-- How many of the keys that were just written several people have, with those who turned out to be one.
--   in:  new_identity (key, kind); a key is a digest of its kind, too, so equal keys are of one kind

select count(*)
from (
    select key
    from identity
    where key in (select key from new_identity where kind <> 'name')
    group by key
    having min(person_id) <> max(person_id)
);
