-- Every answered person was asked for in that request, for the blocks the answer counts for.
--
-- An answer on the wrong person is served to the wrong rows; look at the raw bodies of these requests.
select answer.person_id, request_id
from answer join newest_request using (request_id)
where not coalesce(
    list_contains(people, answer.person_id)
    and list_contains(blocks, 'personal') = has_personal
    and list_contains(blocks, 'company') = has_company
    and list_contains(blocks, 'social') = has_social
    and list_contains(blocks, 'contact') = has_contact,
    false
);
