-- Schema version 3. No table changes: the views are rebuilt, so that they count a request once which was settled as charged
-- and answered after all.

comment on column request.state is
    'in flight (written before sending), answered, refused (nothing charged), failed (nothing charged), unknown (perhaps charged); an unknown one may turn out charged or not charged by the credits left, and may be answered after all. See newest_request for the one that counts.';
