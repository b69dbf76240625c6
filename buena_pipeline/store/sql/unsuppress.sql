-- Entries of the list with something that was given go as a whole, whatever the store still knows. What it only knows of
-- somebody may be shared with others who came to the list by themselves: of that go the entries that hold nothing else.
--   in:  hashed (suppression.sql)

create or replace temp table left_entry as
select entry
from suppression
where entry is not null
group by entry
having bool_or(hash in (select hash from hashed where given)) or bool_and(hash in (select hash from hashed));

delete from suppression
where entry in (select entry from left_entry)
   or (entry is null and hash in (select hash from hashed));
