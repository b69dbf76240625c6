-- Schema version 5. Whoever came to the do-not-enrich list as one person leaves it as one. The views are rebuilt: a day of
-- credits_by_day is one of UTC for whoever asks, and coverage takes a seventh of the time.

alter table suppression add column if not exists entry uuid;
comment on column suppression.entry is
    'For whom it came to the list: a random id, the same for all that was added for one person at once. Null in rows of older releases.';

comment on column identity.kind is
    'linkedin, member (an id of LinkedIn''s; its key is made as that of a profile), email, mailbox (role address with name) or name (with company).';
