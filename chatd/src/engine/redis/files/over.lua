-- Files of a group that was dismissed end, a few at a time.
--
-- KEYS  1 files that the group had   2 ends
-- ARGV  1 name of the first among the ends   2 how many at a time

local ids = redis.call('SPOP', KEYS[1], ARGV[2])
for _, id in ipairs(ids) do
  redis.call('ZADD', KEYS[2], 0, id)
end
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('ZREM', KEYS[2], ARGV[1])
end
