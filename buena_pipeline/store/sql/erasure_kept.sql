-- What is kept of each table.
--   in:  erased (person_id), subject (key), cutoff (moment; null for no limit of age),
--        named (source, row): texts that hold an address or a profile of theirs,
--        found_key (source, row, key): all keys that texts hold
--   out: the temporary views kept_answer, kept_response, kept_identity, kept_link and kept_request, and
--        affected (people, changes): how many people are erased in whole or in part, how many rows are touched

create or replace temp table mention as
select source, row from named
union
select source, row
from found_key
where key in (
    select key from subject
    union
    select key from identity where person_id in (select person_id from erased)
);

-- Text that came for a request and names nobody may still be about whoever it asked for and did not get.
create or replace temp table unanswered as
select distinct request_id
from (select request_id, unnest(people) as person_id from request) as asked
where person_id in (select person_id from erased)
  and (request_id, person_id) not in (
    select (request_id, person_id) from answer
    where person_id in (select person_id from erased) and request_id is not null
  );

create or replace temp table dropped as
select 'answer' as source, rowid as row, person_id
from answer
where person_id in (select person_id from erased) or answered_at < (select moment from cutoff)
union all
select 'response', rowid, person_id
from response
where person_id in (select person_id from erased)
   or received_at < (select moment from cutoff)
   or (person_id is null and request_id in (select request_id from unanswered))
   or rowid in (select row from mention where source = 'response')
union all
select 'identity', rowid, person_id from identity where person_id in (select person_id from erased)
union all
select 'link', rowid, person_id
from link
where person_id in (select person_id from erased) or same_as in (select person_id from erased);

create or replace temp table changed_request as
with asked as (
    select rowid as row, unnest(people) as person_id, generate_subscripts(people, 1) as place from request
),
anonymous as (
    select row, list(if(erased.person_id is null, asked.person_id, '00000000-0000-0000-0000-000000000000') order by place) as people
    from asked left join erased using (person_id)
    group by row
    having bool_or(erased.person_id is not null)
)
select request.rowid as row,
       coalesce(anonymous.people, request.people) as people,
       if(mention.row is not null or happened_at < (select moment from cutoff), null, reason) as reason
from request
left join anonymous on anonymous.row = request.rowid
left join mention on mention.source = 'request' and mention.row = request.rowid
where anonymous.row is not null
   or (reason is not null and (mention.row is not null or happened_at < (select moment from cutoff)));

create or replace temp view kept_answer as
from answer where rowid not in (select row from dropped where source = 'answer');

create or replace temp view kept_response as
from response where rowid not in (select row from dropped where source = 'response');

create or replace temp view kept_identity as
from identity where rowid not in (select row from dropped where source = 'identity');

create or replace temp view kept_link as
from link where rowid not in (select row from dropped where source = 'link');

create or replace temp view kept_request as
select request.* replace (
    if(changed_request.row is null, request.people, changed_request.people) as people,
    if(changed_request.row is null, request.reason, changed_request.reason) as reason
)
from request left join changed_request on changed_request.row = request.rowid
order by request.rowid;

create or replace temp view affected as
select
    (
        select count(distinct coalesce(same_as, touched.person_id))
        from (select person_id from erased union select person_id from dropped where source = 'answer') as touched
        left join same_person using (person_id)
    ) as people,
    (select count(*) from dropped) + (select count(*) from changed_request) as changes;
