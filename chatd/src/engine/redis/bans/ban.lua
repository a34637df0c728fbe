-- Writes a ban that ends by itself, and the name of its user. The names end with the last ban.
--
-- KEYS  1 ban   2 names
-- ARGV  1 the ban   2 its end, Unix ms   3 user

redis.call('SET', KEYS[1], ARGV[1], 'PXAT', ARGV[2])
redis.call('ZADD', KEYS[2], 0, ARGV[3])
local time = redis.call('TIME')
local left = ARGV[2] - (time[1] * 1000 + math.floor(time[2] / 1000))
if redis.call('PTTL', KEYS[2]) < left then
  redis.call('PEXPIREAT', KEYS[2], ARGV[2])
end
