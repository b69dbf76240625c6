-- Everybody who turned out to be somebody else is known, and so is that one.
--
-- Such a person is served from nobody's answers, and may be bought a second time.
with somebody as (
    select person_id from answer
    union
    select unnest(people) from request
)
select person_id, same_as
from same_person
where same_as is not distinct from person_id
   or not exists (from somebody where somebody.person_id = same_person.person_id)
   or not exists (from somebody where somebody.person_id = same_person.same_as);
