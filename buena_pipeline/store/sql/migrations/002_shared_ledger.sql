-- Schema version 2. Several processes share one ledger: who asked with which account, what the vendor said of its rate
-- limits, and who must never be asked for.

alter table request add column account varchar;
alter table request add column quota_window varchar;
alter table request add column quota_limit double;
alter table request add column quota_remaining double;
alter table request add column quota_resets_at timestamptz;
alter table request add column retry_at timestamptz;
comment on column request.state is
    'in flight (written before sending), answered, refused (nothing charged), failed (nothing charged), unknown (perhaps charged); an unknown one may turn out charged or not charged by the credits left.';
comment on column request.account is 'A hash of API and key: credits and rate limits are one account''s.';
comment on column request.quota_window is 'minute, hour or day: which rate limit the answer''s headers told of.';
comment on column request.quota_limit is 'Requests that window allows.';
comment on column request.quota_remaining is 'Requests left in it after this one.';
comment on column request.quota_resets_at is 'When it begins anew.';
comment on column request.retry_at is 'After a 429: nothing may be sent before this moment.';

create table suppression (
    hash     varchar,
    added_at timestamptz
);
comment on table suppression is 'People who must not be enriched: keyed hashes of their keys, nothing else.';
comment on column suppression.hash is 'suppression_hash(key): without the secret in meta it says nothing.';
