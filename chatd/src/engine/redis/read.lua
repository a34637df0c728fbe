-- Reads part of a log, and first takes out what is too old. Begins with log.lua.
--
-- KEYS  1 log
-- ARGV  1 oldest time kept, Unix ms, or 0   2 offset   3 entries at most   4 'after', 'before' or 'at' the offset
-- Answer: the newest entry, then those asked for in their order, or nothing

if tonumber(ARGV[1]) > 0 then
  expire(KEYS[1], tonumber(ARGV[1]))
end
local epoch, last, _, _, _, newest = end_of(KEYS[1])
if not epoch then
  return {}
end
local offset, limit = tonumber(ARGV[2]), tonumber(ARGV[3])
-- Places are counted from the end, where the offset is known.
local from, to
if ARGV[4] == 'after' then
  from, to = offset + 1, offset + limit
elseif ARGV[4] == 'before' then
  from, to = math.min(offset, last + 1) - limit, offset - 1
else
  from, to = offset, offset
end
from, to = math.max(from, last + 1 - redis.call('LLEN', KEYS[1])), math.min(to, last)
local answer = { newest }
if from <= to then
  for _, entry in ipairs(redis.call('LRANGE', KEYS[1], from - last - 1, to - last - 1)) do
    answer[#answer + 1] = entry
  end
end
return answer
