-- What the store knows of the people of one table.
--   in:  incoming (person, kind, value, position), the keys of the table's people, strongest first
--        living (run_id), the runs that live
--   out: three temporary tables, own_id, known and suppressed (empty; suppressed.sql fills it)

-- A person nobody has bought yet gets the id of its strongest key: every process comes to the same one.
create or replace temp table incoming_key as
select person, kind::varchar as kind, position, md5(concat(kind::varchar, chr(31), value))::uuid as key
from incoming;

create or replace temp table own_id as
select person, arg_min(key, position) as person_id
from incoming_key
group by person;

create or replace temp table matched as
select i.person, i.kind, i.key, person_key.person_id, bool_or(own) as own
from incoming_key i join person_key using (key)
group by all;

-- The keys of those people, as far as the rules of identity ask for them.
create or replace temp table matched_person as
select
    person_id,
    bool_and(kind = 'name')                        as weak_only,
    list(key) filter (kind = 'linkedin')           as profiles
from person_key
where person_id in (select person_id from matched)
group by person_id;

-- When which block was bought, and where the vendor found nothing.
create or replace temp table bought as
select
    person_id,
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
from person_answer
where person_id in (select person_id from matched)
group by person_id;

-- Who was asked for in a request that is on its way (of a run that lives), or whose outcome nobody knows.
create or replace temp table pending as
with asked as (
    select coalesce(same_as, sent.person_id) as person_id, blocks, sent_at, state, lease_until,
           state = 'in flight' and lease_until > now() and run_id in (select run_id::uuid from living) as travels
    from (
        select unnest(people) as person_id, blocks, sent_at, state, lease_until, run_id
        from newest_request
        where state in ('in flight', 'unknown', 'charged')
    ) as sent
    left join same_person using (person_id)
)
-- a later answer settles it, but only for the blocks that it brought
select
    person_id,
    max(sent_at) filter (not travels)                                     as pending_since,
    bool_or(state = 'charged') filter (not travels)                       as charged,
    max(lease_until) filter (travels)                                     as in_flight_until
from asked left join bought using (person_id)
where person_id in (select person_id from matched)
  and (
    list_contains(blocks, 'personal') and sent_at > coalesce(greatest(personal_at, personal_failed_at), '-infinity')
    or list_contains(blocks, 'company') and sent_at > coalesce(greatest(company_at, company_failed_at), '-infinity')
    or list_contains(blocks, 'social') and sent_at > coalesce(greatest(social_at, social_failed_at), '-infinity')
    or list_contains(blocks, 'contact') and sent_at > coalesce(greatest(contact_at, contact_failed_at), '-infinity')
  )
group by person_id;

-- Somebody with another LinkedIn profile is somebody else, whatever key they share.
create or replace temp table known as
with profile as (
    select person, list(key) as keys from incoming_key where kind = 'linkedin' group by person
)
select
    matched.person,
    matched.kind,
    matched.person_id,
    matched.own,
    count(*) over (partition by matched.key, matched.person) as candidates,
    matched_person.weak_only,
    bought.* exclude (person_id),
    pending_since,
    coalesce(charged, false) as charged,
    in_flight_until
from matched
join matched_person using (person_id)
left join bought using (person_id)
left join pending using (person_id)
left join profile using (person)
where coalesce(list_has_any(matched_person.profiles, profile.keys), true);

create or replace temp table suppressed (person uinteger);
