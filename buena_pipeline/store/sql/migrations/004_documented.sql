-- Schema version 4. No table changes: every column says what it means (columns of the table answer that come back as buena_...
-- take their sentence from descriptions.py), and the macros of macros.sql are there.

comment on column meta.name is 'Which fact.';
comment on column meta.value is 'Its value, as text. Of several rows of schema_version the highest counts.';

comment on column run.summary is
    'The run''s report as JSON: counts and credits, no personal data; where it starts, its terms.';
comment on column run.run_id is 'The run.';
comment on column run.happened_at is 'When it came to this state.';

comment on column request.request_id is 'The request; the same in all its rows.';
comment on column request.run_id is 'The run it was sent by.';
comment on column request.happened_at is 'When it came to this state.';
comment on column request.reason is 'Why it came to this state, in words; null where nothing went wrong.';

comment on column response.request_id is 'The request it answers.';
comment on column response.received_at is 'When it came.';

comment on column answer.person_id is 'Whom it is about; see link for people who turned out to be one.';
comment on column answer.request_id is 'The request it answers.';
comment on column answer.answered_at is 'When it came.';
comment on column answer.reason is 'Why nothing was found, as the vendor says; null where somebody was.';
comment on column answer.has_personal is 'Whether it was asked for the personal block.';
comment on column answer.has_company is 'Whether it was asked for the company block.';
comment on column answer.has_social is 'Whether it was asked for the social block.';
comment on column answer.has_contact is 'Whether it was asked for the contact block.';

comment on column identity.key is 'buena_key(kind, value) of the normalised value: md5(concat(kind, chr(31), value))::uuid.';
comment on column identity.person_id is 'Whom it points to; see link for people who turned out to be one.';
comment on column identity.request_id is 'The request that told it; null for a key that a table brought later.';
comment on column identity.known_at is 'When that was learned.';

comment on column link.person_id is 'An id under which somebody was bought.';
comment on column link.same_as is 'The id that counts for them now.';
comment on column link.linked_at is 'When that was found out.';

comment on column suppression.added_at is 'When it came to the list.';
