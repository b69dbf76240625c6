-- Everybody who turned out to be somebody else leads straight to the last of them.
--
-- Views follow one step, so such a person is served from half of their answers.
select link.person_id, link.same_as
from same_person link join same_person further on further.person_id = link.same_as
where link.same_as <> link.person_id;
