-- The do-not-enrich list consists of keyed hashes, and their secret is there, once.
--
-- Without the secret nobody on the list is recognised: suppress them again before the next run.
select hash
from suppression
where (select count(distinct value) from meta where name = 'suppression_secret') <> 1
   or not coalesce(regexp_full_match(hash, '[0-9a-f]{64}'), false);
