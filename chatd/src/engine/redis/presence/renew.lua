-- Renews a lease by Redis's own clock, and hands ended leases to this caller for clearing away.
--
-- KEYS  1 leases   2 graves
-- ARGV  1 this lease   2 life ms   3 '1' when the lease is new   4 '1' to take graves
-- Answer: 0 renewed, 1 had ended but nobody had noticed, 2 unknown: a new lease is needed; then a list of the leases to clear

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local life = tonumber(ARGV[2])

local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not ends and ARGV[3] ~= '1' then
  return { 2, {} }
end
-- Takes nothing out. A script that has begun to write is not stopped for want of memory, which a renewal does not need.
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[1], now + life, ARGV[1])

local state = ends and tonumber(ends) <= now and 1 or 0

local taken = {}
if ARGV[4] == '1' then
  for _, dead in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
    redis.call('ZREM', KEYS[1], dead)
    redis.call('ZADD', KEYS[2], now, dead)
  end
  for _, dead in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now)) do
    -- Whoever takes a grave has the life of a lease to clear it; then another may.
    redis.call('ZADD', KEYS[2], now + life, dead)
    taken[#taken + 1] = dead
  end
end
return { state, taken }
