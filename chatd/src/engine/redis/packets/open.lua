-- Makes a packet, unless it is known. Begins with era.lua.
--
-- KEYS  1 packet   2 its shares   3 its winners
-- ARGV  1 how many of the arguments after it are fields and values of the packet   then these
--       then the shares in the order they are given out
-- Answer: 1 when it was made

local packet, shares = KEYS[1], KEYS[2]
if redis.call('EXISTS', packet) == 1 then
  return 0
end
local fields = tonumber(ARGV[1])
redis.call('HSET', packet, 'era', era() or '', unpack(ARGV, 2, fields + 1))
redis.call('DEL', shares, KEYS[3])
-- The stack of Lua does not hold 10,000 values.
for first = fields + 2, #ARGV, 1000 do
  redis.call('RPUSH', shares, unpack(ARGV, first, math.min(first + 999, #ARGV)))
end
return 1
