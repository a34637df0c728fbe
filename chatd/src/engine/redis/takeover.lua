-- Moves some of a log that an earlier version wrote into its list: a stream of entries, what stayed of recalled ones beside
-- it, and a hash about both. Begins with log.lua.
--
-- KEYS  1 stream   2 hash   3 what stayed of recalled entries, by offset   4 list     ARGV  1 entries at most
-- Answer: 1 when there is more

local stream, head, stubs, log, most = KEYS[1], KEYS[2], KEYS[3], KEYS[4], tonumber(ARGV[1])
local known = redis.call('HMGET', head, 'epoch', 'number', 'time')
local function read(digits)
  return digits and string.match(digits, '^%d+$') and #digits < 16 and tonumber(digits)
end
local epoch, number, time = known[1], read(known[2]), read(known[3])
if not epoch or not string.match(epoch, '^[^%c ]+$') or not number or not time then
  return redis.error_reply('ERR its hash says not how it stands')
end

local function blank(offset, epoch, time)
  redis.call('RPUSH', log, string.format('H\n%d\n%s\n%d\n\n', offset, epoch, time))
end

-- Makes the list end before this offset. Who reads counts places, so what is missing is filled up, or all before it goes.
local function reach(offset)
  local epoch, last, time = end_of(log)
  if epoch and offset > last + 1000 then
    redis.call('DEL', log)
  elseif epoch then
    for missing = last + 1, offset - 1 do
      blank(missing, epoch, time)
    end
  end
end

local found = {}
for _, entry in ipairs(redis.call('XRANGE', stream, '-', '+', 'COUNT', most)) do
  found[#found + 1] = { tonumber(string.match(entry[1], '^%d+')), entry[2][2] }
end
local more = #found == most
local to = more and string.format('%d', found[most][1]) or '+inf'
local recalled = redis.call('ZRANGEBYSCORE', stubs, '-inf', to, 'WITHSCORES')
for i = 1, #recalled, 2 do
  found[#found + 1] = { tonumber(recalled[i + 1]), recalled[i] }
end
table.sort(found, function(a, b) return a[1] < b[1] end)
for _, entry in ipairs(found) do
  local offset, lines, rest = entry[1], string.match(entry[2], '^(%a\n%d+\n[^\n]*\n%d+\n)(.*)$')
  local _, last = end_of(log)
  if lines and offset > (last or 0) then
    reach(offset)
    redis.call('RPUSH', log, lines .. '\n' .. rest)
  end
end
if more then
  redis.call('XTRIM', stream, 'MINID', string.format('%d', found[#found][1] + 1))
  redis.call('ZREMRANGEBYSCORE', stubs, '-inf', to)
  return 1
end

local _, last = end_of(log)
if number > (last or 0) then
  reach(number)
  blank(number, epoch, time)
end
local by_now, _, _, _, _, newest, rest = end_of(log)
if by_now ~= epoch then
  redis.call('LSET', log, -1, string.sub(newest, 1, rest - 2) .. ' ' .. epoch .. '\n' .. string.sub(newest, rest))
end
local left = redis.call('PTTL', head)
if left > 0 then
  redis.call('PEXPIRE', log, left)
end
redis.call('UNLINK', stream, head, stubs)
return 0
