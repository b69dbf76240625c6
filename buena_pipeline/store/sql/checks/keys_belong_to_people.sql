-- Every key points to somebody who was asked for or answered.
--
-- Such a key makes its rows somebody of whom nothing is known; they may be bought a second time.
with somebody as (
    select person_id from answer
    union
    select unnest(people) from request
)
select key, kind, person_id
from identity
where not exists (from somebody where somebody.person_id = identity.person_id);
