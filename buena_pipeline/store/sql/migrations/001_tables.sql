-- Schema version 1. Every table is append-only and has no index: what is current is a question of reading.

create table meta (
    name  varchar,
    value varchar
);
comment on table meta is 'Facts about this file; schema_version says which release may open it.';

create table run (
    run_id      uuid,
    state       varchar,
    happened_at timestamptz,
    rows        ubigint,
    summary     varchar
);
comment on table run is 'One row when a run starts and one when it ends.';
comment on column run.state is 'started, finished or stopped.';
comment on column run.rows is 'Rows of the lead table.';
comment on column run.summary is 'The run''s report as JSON: counts and credits, no personal data.';

create table request (
    request_id        uuid,
    run_id            uuid,
    state             varchar,
    happened_at       timestamptz,
    lease_until       timestamptz,
    blocks            varchar[],
    people            uuid[],
    credits_reserved  double,
    credits_used      double,
    credits_remaining double,
    reason            varchar
);
comment on table request is 'The ledger: one row per state change of a request to the vendor.';
comment on column request.state is
    'in flight (written before sending), answered, refused (nothing charged), failed (nothing charged), unknown (perhaps charged).';
comment on column request.lease_until is 'A request still in flight after this moment has an unknown outcome.';
comment on column request.blocks is 'What was asked for: personal, company, social, contact.';
comment on column request.people is 'The people the request asks for.';
comment on column request.credits_reserved is 'Credits it may cost.';
comment on column request.credits_used is 'creditsUsed of the answer.';
comment on column request.credits_remaining is 'remainingCredits of the answer.';

create table response (
    request_id  uuid,
    person_id   uuid,
    received_at timestamptz,
    body        varchar using compression zstd
);
comment on table response is 'What the vendor sent, as it came: one row per lead, and one for what belongs to no lead.';
comment on column response.person_id is 'Null for text that belongs to no person of the request.';
comment on column response.body is 'Raw JSON text; varchar, because a JSON column would refuse malformed text that was paid for.';

create table answer (
    person_id           uuid,
    request_id          uuid,
    answered_at         timestamptz,
    found               boolean,
    reason              varchar,
    has_personal        boolean,
    has_company         boolean,
    has_social          boolean,
    has_contact         boolean,
    confidence          double,
    sources             varchar[],
    first_name          varchar,
    last_name           varchar,
    email               varchar,
    alternative_emails  varchar[],
    phone               varchar,
    linkedin_url        varchar,
    company             varchar,
    title               varchar,
    location            varchar,
    experience          varchar,
    experience_years    smallint,
    skills              varchar[],
    bio                 varchar,
    company_name        varchar,
    company_website     varchar,
    company_domain      varchar,
    company_industry    varchar,
    company_size        varchar,
    company_size_min    integer,
    company_size_max    integer,
    company_description varchar,
    company_founded     smallint,
    company_headquarters varchar,
    social_twitter      varchar,
    social_github       varchar,
    social_facebook     varchar,
    social_profiles     struct(network varchar, url varchar)[]
);
comment on table answer is 'One typed row per person and answer, with the blocks it was asked for.';
comment on column answer.found is 'False where the vendor answered that it does not know the person.';
comment on column answer.has_personal is 'The answer was asked for the personal block; the same for the other three.';

create table identity (
    key        uuid,
    kind       varchar,
    person_id  uuid,
    request_id uuid,
    known_at   timestamptz
);
comment on table identity is 'Which key points to which person: the keys of the rows, and those that answers confirmed.';
comment on column identity.key is 'md5(concat(kind, chr(31), value))::uuid of the normalised value.';
comment on column identity.kind is 'linkedin, member (an id of LinkedIn''s; its key is made as that of a profile), email, mailbox (role address with name) or name (with company).';

create table link (
    person_id uuid,
    same_as   uuid,
    linked_at timestamptz
);
comment on table link is
    'People bought as two whom answers have shown to be one; the newest row of a person counts.';
