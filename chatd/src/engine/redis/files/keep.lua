-- A file that has not ended ends at another moment, or at none.
--
-- KEYS  1 file   2 ends
-- ARGV  1 id   2 now ms   3 its end ms, or nothing
-- Answer: 1 when there is such a file

local ends = redis.call('ZSCORE', KEYS[2], ARGV[1])
if redis.call('EXISTS', KEYS[1]) == 0 or (ends and tonumber(ends) <= tonumber(ARGV[2])) then
  return 0
elseif ARGV[3] == '' then
  redis.call('ZREM', KEYS[2], ARGV[1])
else
  redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
end
return 1
