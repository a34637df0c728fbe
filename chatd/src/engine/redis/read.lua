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
local first = last + 1 - redis.call('LLEN', KEYS[1])
local answer = { newest }

-- Places are counted from the end, where the offset is known.
local function entries(from, to)
  return from <= to and redis.call('LRANGE', KEYS[1], from - last - 1, to - last - 1) or {}
end

local function is_blank(entry)
  return string.sub(entry, 1, 2) == 'H\n'
end

if ARGV[4] == 'at' then
  answer[2] = offset >= first and offset <= last and entries(offset, offset)[1] or nil
elseif ARGV[4] == 'after' then
  local from = math.max(offset + 1, first)
  while from <= last and #answer <= limit do
    local to = math.min(from + limit - #answer, last)
    for _, entry in ipairs(entries(from, to)) do
      answer[#answer + 1] = not is_blank(entry) and entry or nil
    end
    from = to + 1
  end
else
  local found, to = {}, math.min(offset - 1, last)
  while to >= first and #found < limit do
    local from = math.max(to - limit + #found + 1, first)
    local some = entries(from, to)
    for i = #some, 1, -1 do
      found[#found + 1] = not is_blank(some[i]) and some[i] or nil
    end
    to = from - 1
  end
  for i = #found, 1, -1 do
    answer[#answer + 1] = found[i]
  end
end
return answer
