-- What people query. Plain SQL that any DuckDB from 1.4 on runs; rebuilt whenever the schema version moves. Columns that a view
-- has from its table, and columns that enrichment adds, get their comments in comments.py.

create or replace macro suppression_hash(key) as
    sha256(concat((select any_value(value) from meta where name = 'suppression_secret'), key::varchar));
comment on macro suppression_hash is 'What the table suppression has of a key.';

create or replace view same_person as
select person_id, arg_max(same_as, linked_at) as same_as from link group by person_id;
comment on view same_person is 'Who was bought under a second identifier, and the person they are.';
comment on column same_person.person_id is 'An id under which somebody was bought.';
comment on column same_person.same_as is 'The id that counts for them now.';

create or replace view person_answer as
select answer.* replace (coalesce(same_as, answer.person_id) as person_id)
from answer left join same_person using (person_id);
comment on view person_answer is 'The table answer, with people who turned out to be one under one id.';
comment on column person_answer.person_id is 'Whom it is about, under the id that counts now.';

create or replace view person_key as
select identity.* replace (coalesce(same_as, identity.person_id) as person_id), identity.person_id = key as own
from identity left join same_person using (person_id);
comment on view person_key is 'The table identity, likewise; own marks the key that gave a person its id.';
comment on column person_key.person_id is 'Whom it points to, under the id that counts now.';
comment on column person_key.own is 'Whether this key gave the person its id.';

create or replace view known_key as
select
    key,
    any_value(kind)                                                        as kind,
    coalesce(min(person_id) filter (own), min(person_id))                  as person_id
from person_key
group by key
-- what points to several people points to nobody but the one whose id it gave
having min(person_id) = max(person_id) or bool_or(own);
comment on view known_key is 'Each key that leads to one person, and to whom: what a table of one''s own is joined by.';
comment on column known_key.person_id is 'The person, under the id that counts now.';

create or replace view newest_request as
with change as (
    select *,
           -- by its stage, not by time: clocks jump, and what the vendor said counts, not what was concluded without it
           list_position(['in flight', 'unknown', 'not charged', 'charged', 'failed', 'refused', 'answered'], state) as stage
    from request
)
select
    request_id,
    any_value(run_id)                                                        as run_id,
    any_value(account)                                                       as account,
    min(happened_at) filter (state = 'in flight')                            as sent_at,
    max(happened_at) filter (state not in ('in flight', 'charged', 'not charged')) as closed_at,
    max(happened_at) filter (state in ('charged', 'not charged'))            as settled_at,
    arg_max(happened_at, stage)                                              as happened_at,
    any_value(lease_until)                                                   as lease_until,
    arg_max(state, stage)                                                    as state,
    any_value(blocks)                                                        as blocks,
    -- somebody may be erased while the request is on its way, and come back with its answer
    arg_max(people, stage)                                                   as people,
    any_value(credits_reserved)                                              as credits_reserved,
    -- an answer that does not say leaves what was settled; a refusal cost nothing, whatever was settled before
    case when arg_max(state, stage) not in ('failed', 'refused') then arg_max(credits_used, stage) end as credits_used,
    arg_max(credits_remaining, stage)                                        as credits_remaining,
    arg_max(reason, stage)                                                   as reason
from change
group by request_id;
comment on view newest_request is 'The ledger with one row per request, as it stands now.';
comment on column newest_request.request_id is 'The request.';
comment on column newest_request.sent_at is 'When it was entered, just before it left.';
comment on column newest_request.closed_at is 'When its outcome was entered; null while it is in flight.';
comment on column newest_request.settled_at is 'When an unknown outcome turned out charged or not charged.';
comment on column newest_request.happened_at is 'When it came to the state that counts.';
comment on column newest_request.state is
    'The state that counts: answered, refused, failed, charged, not charged, unknown (perhaps charged) or in flight.';
comment on column newest_request.credits_used is 'What it cost; null where nothing is known, or nothing was charged.';

-- The newest value of every column per person; nothing never replaces something. A macro, so that the same reading
-- serves the whole table and a few people (newest_answers('some_table')).
create or replace macro newest_answers(answers) as table
select
    person_id,
    'enriched'                                                     as status,
    null::varchar                                                  as error,
    max(answered_at)                                               as enriched_at,
    arg_max(confidence, answered_at)                               as confidence,
    arg_max(sources, answered_at)                                  as sources,
    arg_max(first_name, answered_at)                               as first_name,
    arg_max(last_name, answered_at)                                as last_name,
    arg_max(email, answered_at)                                    as email,
    arg_max(alternative_emails, answered_at)                       as alternative_emails,
    arg_max(phone, answered_at)                                    as phone,
    arg_max(linkedin_url, answered_at)                             as linkedin_url,
    arg_max(company, answered_at)                                  as company,
    arg_max(title, answered_at)                                    as title,
    arg_max(location, answered_at)                                 as location,
    arg_max(experience, answered_at)                               as experience,
    -- a parsed column goes with the text it was parsed from, also where that text says nothing
    arg_max_null(experience_years, answered_at) filter (experience is not null)   as experience_years,
    arg_max(skills, answered_at)                                   as skills,
    arg_max(bio, answered_at)                                      as bio,
    arg_max(company_name, answered_at)                             as company_name,
    arg_max(company_website, answered_at)                          as company_website,
    arg_max_null(company_domain, answered_at) filter (company_website is not null) as company_domain,
    arg_max(company_industry, answered_at)                         as company_industry,
    arg_max(company_size, answered_at)                             as company_size,
    arg_max_null(company_size_min, answered_at) filter (company_size is not null)  as company_size_min,
    arg_max_null(company_size_max, answered_at) filter (company_size is not null)  as company_size_max,
    arg_max(company_description, answered_at)                      as company_description,
    arg_max(company_founded, answered_at)                          as company_founded,
    arg_max(company_headquarters, answered_at)                     as company_headquarters,
    arg_max(social_twitter, answered_at)                           as social_twitter,
    arg_max(social_github, answered_at)                            as social_github,
    arg_max(social_facebook, answered_at)                          as social_facebook,
    arg_max(social_profiles, answered_at)                          as social_profiles
from query_table(answers)
where found
group by person_id;

create or replace view leads as from newest_answers('person_answer');
comment on macro table newest_answers is 'The newest value of every column per person, out of a table with the columns of person_answer.';
comment on view leads is 'One row per person the vendor knows: the newest value of every column, never replaced by nothing.';
comment on column leads.status is 'Always enriched: whom the vendor does not know is in failures.';
comment on column leads.error is 'Always null; here so that the columns are those of an enriched table.';

create or replace view failures as
select
    person_id,
    max(answered_at)              as failed_at,
    arg_max(reason, answered_at)  as reason,
    count(*)                      as attempts
from person_answer
where not found and person_id not in (select person_id from person_answer where found)
group by person_id;
comment on view failures is 'People the vendor answered it does not know, and has never known.';
comment on column failures.person_id is 'The person.';
comment on column failures.failed_at is 'When the vendor said so last.';
comment on column failures.reason is 'The vendor''s words, the last ones.';
comment on column failures.attempts is 'How often it was asked.';

create or replace view stale as
select
    person_id,
    max(answered_at) filter (found and has_personal) as personal_at,
    max(answered_at) filter (found and has_company)  as company_at,
    max(answered_at) filter (found and has_social)   as social_at,
    max(answered_at) filter (found and has_contact)  as contact_at,
    least(
        max(answered_at) filter (found and has_personal),
        max(answered_at) filter (found and has_company),
        max(answered_at) filter (found and has_social),
        max(answered_at) filter (found and has_contact)
    ) as oldest_at
from person_answer
group by person_id
having oldest_at < now()::timestamptz - interval 90 days;
comment on view stale is 'People with a block that was bought more than 90 days ago, and when each block was bought last.';
comment on column stale.person_id is 'The person.';
comment on column stale.personal_at is 'When the personal block was bought last; null if it never was.';
comment on column stale.company_at is 'When the company block was bought last; null if it never was.';
comment on column stale.social_at is 'When the social block was bought last; null if it never was.';
comment on column stale.contact_at is 'When the contact block was bought last; null if it never was.';
comment on column stale.oldest_at is 'The earliest of these four moments.';

create or replace view credits_by_day as
-- a cast to a date would go by the time zone of whoever asks
with request_of_day as (select *, make_timestamp(epoch_us(happened_at))::date as day from newest_request),
last_run as (
    select day, arg_max(run_id, happened_at) as run_id
    from request_of_day
    where credits_remaining is not null
    group by day
)
select
    day,
    count(*) filter (state <> 'in flight')                                      as requests,
    count(*) filter (state = 'unknown')                                         as unknown_requests,
    coalesce(sum(len(people)) filter (state = 'answered'), 0)::bigint           as people,
    coalesce(sum(credits_used), 0)                                              as credits_used,
    -- answers overtake each other: the smallest of a run is the one the vendor wrote last
    min(credits_remaining) filter (request_of_day.run_id = last_run.run_id)     as credits_remaining
from request_of_day left join last_run using (day)
group by day
order by day;
comment on view credits_by_day is
    'What was spent on each day (UTC): each request once, as it stands now, on the day it came to stand so.';
comment on column credits_by_day.day is 'The day.';
comment on column credits_by_day.requests is 'Requests, without those in flight.';
comment on column credits_by_day.unknown_requests is 'Those among them of unknown outcome: perhaps charged.';
comment on column credits_by_day.people is 'People of answered requests.';
comment on column credits_by_day.credits_used is 'Credits that answers told, or that were settled.';
comment on column credits_by_day.credits_remaining is 'What the vendor said was left, at the end of the day''s last run.';

create or replace view coverage as
-- as leads has them, by what is there alone: the values themselves would take ten times as long
with has_value as (
    select
        person_id,
        bool_or(columns(* exclude (
            person_id, request_id, answered_at, found, reason, has_personal, has_company, has_social, has_contact,
            experience_years, company_domain, company_size_min, company_size_max
        )) is not null),
        arg_max(experience_years is not null, answered_at) filter (experience is not null)    as experience_years,
        arg_max(company_domain is not null, answered_at) filter (company_website is not null) as company_domain,
        arg_max(company_size_min is not null, answered_at) filter (company_size is not null)  as company_size_min,
        arg_max(company_size_max is not null, answered_at) filter (company_size is not null)  as company_size_max
    from person_answer
    where found
    group by person_id
),
filled as (select count(*) as people, count_if(columns(* exclude person_id)) from has_value)
select column_name, filled::bigint as filled, people, round(filled / nullif(people, 0), 4) as share
from (unpivot filled on columns(* exclude people) into name column_name value filled)
order by share desc, column_name;
comment on view coverage is 'For each column of leads: how many people have a value.';
comment on column coverage.column_name is 'The column of leads.';
comment on column coverage.filled is 'People who have a value there.';
comment on column coverage.people is 'People in leads.';
comment on column coverage.share is 'The one by the other, from 0 to 1; null where there are no people.';
