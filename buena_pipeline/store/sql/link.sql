-- Whoever is now known to be somebody else, and whoever was known to be that one.
--   in:  new_link (person_id, same_as)

insert into link
select person_id::uuid, same_as::uuid, now() from new_link
union all
select same_person.person_id, new_link.same_as::uuid, now()
from same_person join new_link on same_person.same_as = new_link.person_id::uuid;
