-- Forgets notes about dismissed groups, unless the same group was noted again.
--
-- KEYS  1 notes
-- ARGV  names, each with the time it was noted for

for i = 1, #ARGV, 2 do
  if redis.call('ZSCORE', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    redis.call('ZREM', KEYS[1], ARGV[i])
  end
end
return 0
