-- Ends a packet and queues the refund of what is left. One that is not known is remembered as lost, so that nobody
-- can open it later. Begins with time.lua and queue.lua.
--
-- KEYS  1 packet   2 its shares   3 its winners   4 outbox of the app
-- ARGV  1 app   2 id of the packet   3 its sender   4 the time ms, or '' for that of this Redis
--       5 how long a finished packet is kept s
-- Answer: 1 when this call closed it, cents of the refund, 1 when it was known

local packet, outbox = KEYS[1], KEYS[4]
local known = redis.call('HMGET', packet, 'total', 'grabbed', 'refunded', 'lost')
if known[4] then
  return { 0, 0, 0 }
elseif not known[1] then
  redis.call('HSET', packet, 'lost', 1)
  redis.call('EXPIRE', packet, ARGV[5])
  return { 1, 0, 0 }
elseif known[3] then
  return { 0, tonumber(known[3]), 1 }
end

local rest = known[1] - known[2]
redis.call('XLEN', outbox)
-- First: to end a packet is to free memory, and Redis lets a script that took something out go on without any.
redis.call('UNLINK', KEYS[2])
redis.call('HSET', packet, 'refunded', rest, 'until', 0)
redis.call('EXPIRE', packet, ARGV[5])
redis.call('EXPIRE', KEYS[3], ARGV[5])
if rest > 0 then
  queue(outbox, ARGV[1], ARGV[2], 'refund', ARGV[3], string.format('%d', rest), time(ARGV[4]))
end
return { 1, rest, 1 }
