-- Texts that could name somebody who is erased: bodies that belong to nobody, and what requests ended with.
--   in:  erased (person_id)
--   out: the temporary tables trace (kind, value), what is known of the erased, and loose_text (source, row, text)

create or replace temp table trace as
select distinct * from (
    select 'address' as kind, email as value from answer where person_id in (select person_id from erased)
    union all
    select 'address', unnest(alternative_emails) from answer where person_id in (select person_id from erased)
    union all
    select 'profile', linkedin_url from answer where person_id in (select person_id from erased)
)
where value is not null;

create or replace temp table loose_text as
select 'response' as source, rowid as row, body as text from response where person_id is null and body is not null
union all
select 'request', rowid, reason from request where reason is not null;
