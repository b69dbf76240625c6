-- Everybody who is meant comes to the list in an entry of their own. Two people may share a hash: whoever comes off the list
-- takes theirs along, and the other one stays. The same hashes once more are no new entry.
--   in:  hashed (suppression.sql), $now

create or replace temp table new_entry as
select any_value(row) as row, uuid() as entry
from (select row, list(hash order by hash) as hashes from hashed group by row)
where hashes not in (
    select list(hash order by hash) from suppression where entry is not null group by entry
)
group by hashes;

insert into suppression by name
select hash, $now::timestamptz as added_at, entry from hashed join new_entry using (row) order by entry, hash;
