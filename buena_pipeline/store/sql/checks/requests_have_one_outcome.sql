-- Every request was in flight first, and then had one outcome; only an unknown one may be settled later.
--
-- The newest state counts when people are looked up, so they may be bought twice, or never.
select
    request_id,
    -- by stage, not by time: clocks jump
    string_agg(
        coalesce(state, 'none'), ', '
        order by list_position(['in flight', 'unknown', 'not charged', 'charged', 'failed', 'refused', 'answered'], state)
    ) as states
from request
group by request_id
having not regexp_full_match(
    states,
    -- a run that was thought dead may still bring its answer
    'in flight(, (answered|refused|failed|charged|unknown(, (not charged|charged))?(, (answered|refused|failed))?))?'
);
