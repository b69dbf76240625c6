-- Every request was in flight first, and then had one outcome; only an unknown one may be settled later.
--
-- The newest state counts when people are looked up, so they may be bought twice, or never.
select request_id, string_agg(coalesce(state, 'none'), ', ' order by happened_at, rowid) as states
from request
group by request_id
having not regexp_full_match(
    states, 'in flight(, (answered|refused|failed|unknown(, (answered|not charged|charged(, answered)?))?))?'
);
