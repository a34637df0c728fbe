-- Counts the distinct users in several sorted sets.
--
-- KEYS  the sets

return #redis.call('ZUNION', #KEYS, unpack(KEYS))
