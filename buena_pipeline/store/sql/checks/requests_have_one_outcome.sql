-- Every request was in flight first, and then had one outcome; only an unknown one may be settled later.
--
-- The newest state counts when people are looked up, so they may be bought twice, or never.
select
    request_id,
    -- not by time alone: a clock may be set back
    string_agg(coalesce(state, 'none'), ', ' order by state <> 'in flight', happened_at, rowid) as states
from request
group by request_id
having not regexp_full_match(
    states,
    -- a run that was thought dead may still bring its answer
    'in flight(, (answered|refused|failed|charged|unknown(, (not charged|charged))?(, (answered|refused|failed))?))?'
);
