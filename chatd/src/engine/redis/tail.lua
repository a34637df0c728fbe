-- Part of a log or an inbox, oldest first. Begins with log.lua.
--
-- KEYS  1 inbox or log     ARGV  1 number to begin with   2 entries at most
-- Answer: entries

local epoch, last = end_of(KEYS[1])
if not epoch then
  return {}
end
local from = math.max(tonumber(ARGV[1]), last + 1 - redis.call('LLEN', KEYS[1]))
local to = math.min(from + tonumber(ARGV[2]) - 1, last)
return from <= to and redis.call('LRANGE', KEYS[1], from - last - 1, to - last - 1) or {}
