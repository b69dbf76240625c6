-- What the store knows of the people of one table.
--   in:  incoming (person, kind, key, bit), the keys of the table's people, strongest first; kind is a rank
--        (the temporary macro rank_of says which), and bit is another one for each key of a person
--        person_has (person, strongest, bits): the strongest kind and all bits of each person
--        living (run_id), the runs that live
--   out: the temporary tables known, linked (which person which key points to, where not all is plain) and
--        suppressed (empty; suppressed.sql fills it)

-- Most people are plain: all their keys that are known point to one person, and one of them is strong enough to decide.
create or replace temp table best as
with pointed as (
    select person, min(person_id) as person_id, max(person_id) as highest, min(i.kind) as known_by, bit_or(bit) as known_bits
    from incoming i join person_key using (key)
    group by person
)
select
    person, person_id, known_by, strongest,
    known_bits <> bits as lacking,
    -- somebody with another LinkedIn profile is somebody else, whatever key they share
    person_id = highest and (known_by = rank_of('linkedin') or strongest > rank_of('linkedin'))
        and (known_by < rank_of('name') or strongest = rank_of('name')) as plain
from pointed join person_has using (person);

create or replace temp table linked as
select i.person, i.kind, i.key, person_key.person_id, bool_or(own) as own
from incoming i join person_key using (key)
where person in (select person from best where lacking or not plain)
group by all;

create or replace temp table matched as
select linked.* from linked join best using (person) where not plain;

create or replace temp table candidate as
select person_id from best where plain
union all
select person_id from matched;

-- The keys of those people, as far as the rules of identity ask for them.
create or replace temp table matched_person as
select
    person_id,
    bool_and(kind = 'name')                        as weak_only,
    list(key) filter (kind = 'linkedin')           as profiles
from person_key
where person_id in (select person_id from matched)
group by person_id;

-- When which block was bought, and where the vendor found nothing. Most people were answered once.
create or replace temp table answered as
select
    coalesce(same_as, answer.person_id) as person_id, answered_at, found, reason,
    has_personal, has_company, has_social, has_contact, answer.rowid as row
from answer left join same_person using (person_id)
where coalesce(same_as, answer.person_id) in (select person_id from candidate);

create or replace temp table repeated as
select person_id from answered group by person_id having count(*) > 1;

create or replace temp table bought as
select
    person_id,
    case when count(*) filter (found) = 1 then max(row) filter (found) end as row,
    max(answered_at) filter (found)                          as found_at,
    max(answered_at) filter (found and has_personal)         as personal_at,
    max(answered_at) filter (found and has_company)          as company_at,
    max(answered_at) filter (found and has_social)           as social_at,
    max(answered_at) filter (found and has_contact)          as contact_at,
    max(answered_at) filter (not found)                      as failed_at,
    max(answered_at) filter (not found and has_personal)     as personal_failed_at,
    max(answered_at) filter (not found and has_company)      as company_failed_at,
    max(answered_at) filter (not found and has_social)       as social_failed_at,
    max(answered_at) filter (not found and has_contact)      as contact_failed_at,
    arg_max(reason, answered_at) filter (not found)          as failed_reason
from answered
where person_id in (select person_id from repeated)
group by person_id;

-- Who was asked for in a request that is on its way (of a run that lives), or whose outcome nobody knows.
create or replace temp table pending as
with open as (
    select request_id from newest_request where state in ('in flight', 'unknown', 'charged')
),
-- as newest_request has it, but the people of all other requests are never touched
request_there as (
    select
        min(happened_at) filter (state = 'in flight') as sent_at,
        any_value(lease_until)                        as lease_until,
        any_value(run_id)                             as run_id,
        any_value(blocks)                             as blocks,
        bool_and(state = 'in flight')                 as in_flight,
        bool_or(state = 'charged')                    as charged,
        -- somebody may have been erased since it was sent
        arg_max(people, list_position(['in flight', 'unknown', 'charged'], state)) as people
    from request
    where request_id in (select request_id from open)
    group by request_id
),
asked as (
    select coalesce(same_as, sent.person_id) as person_id, blocks, sent_at, lease_until, charged,
           in_flight and lease_until > now() and run_id in (select run_id::uuid from living) as travels
    from (select unnest(people) as person_id, * exclude people from request_there) as sent
    left join same_person using (person_id)
),
moment as (
    select
        person_id,
        max(answered_at) filter (has_personal) as personal_at,
        max(answered_at) filter (has_company)  as company_at,
        max(answered_at) filter (has_social)   as social_at,
        max(answered_at) filter (has_contact)  as contact_at
    from answered
    where person_id in (select person_id from asked)
    group by person_id
)
-- a later answer settles it, but only for the blocks that it brought
select
    person_id,
    max(sent_at) filter (not travels)                                     as pending_since,
    bool_or(charged) filter (not travels)                                 as charged,
    max(lease_until) filter (travels)                                     as in_flight_until
from asked left join moment using (person_id)
where person_id in (select person_id from candidate)
  and (
    list_contains(blocks, 'personal') and sent_at > coalesce(personal_at, '-infinity')
    or list_contains(blocks, 'company') and sent_at > coalesce(company_at, '-infinity')
    or list_contains(blocks, 'social') and sent_at > coalesce(social_at, '-infinity')
    or list_contains(blocks, 'contact') and sent_at > coalesce(contact_at, '-infinity')
  )
group by person_id;

-- Who each person may be. Nearly all have one answer, which stays as narrow as it is until it is read.
create or replace temp table hit as
with profile as (
    select person, list(key) as keys
    from incoming
    where kind = rank_of('linkedin') and person in (select person from matched)
    group by person
)
select person, known_by as kind, person_id, false as own, 1 as candidates, false as weak_only from best where plain
union all
select matched.person, matched.kind, matched.person_id, own,
       count(*) over (partition by matched.key, matched.person) as candidates, weak_only
from matched join matched_person using (person_id) left join profile using (person)
where coalesce(list_has_any(matched_person.profiles, profile.keys), true);

create or replace temp table hit_once as
select hit.*, answered.* exclude (person_id)
from hit left join answered using (person_id)
where person_id not in (select person_id from repeated);

create or replace temp view known as
select
    hit_once.* exclude (answered_at, found, reason, has_personal, has_company, has_social, has_contact) replace (case when found then row end as row),
    case when found then answered_at end                          as found_at,
    case when found and has_personal then answered_at end         as personal_at,
    case when found and has_company then answered_at end          as company_at,
    case when found and has_social then answered_at end           as social_at,
    case when found and has_contact then answered_at end          as contact_at,
    case when not found then answered_at end                      as failed_at,
    case when not found and has_personal then answered_at end     as personal_failed_at,
    case when not found and has_company then answered_at end      as company_failed_at,
    case when not found and has_social then answered_at end       as social_failed_at,
    case when not found and has_contact then answered_at end      as contact_failed_at,
    case when not found then reason end                           as failed_reason,
    pending_since, coalesce(charged, false) as charged, in_flight_until
from hit_once left join pending using (person_id)
union all by name
select
    hit.*, bought.* exclude (person_id),
    pending_since, coalesce(charged, false) as charged, in_flight_until
from hit join bought using (person_id) left join pending using (person_id);

create or replace temp table suppressed (person uinteger);
