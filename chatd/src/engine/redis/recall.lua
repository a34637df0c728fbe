-- Takes the content of an entry away and appends the entry that tells of it. Begins with log.lua.
--
-- KEYS  1 log   2 what the sender has read   then per inbox of a pair: inbox, pairs and reads of its owner
-- ARGV  1 now ms   2 to 7 see rules_from   8 offset   9 the entry   10 its stub   11 epoch for a new history
--       12 conversation as the sender names it   13 body of the entry that tells of it
--       then for world and group: channel; for each inbox: channel, other user
-- Answer: 1, or 0 when the entry is not what it was

local log, now, rules = KEYS[1], tonumber(ARGV[1]), rules_from(2)
local epoch, last = end_of(log)
local place = epoch and string.format('%d', tonumber(ARGV[8]) - last - 1)
if not epoch or redis.call('LINDEX', log, place) ~= ARGV[9] then
  return 0
end
-- Also what is written only later: nothing may be done by halves.
local read = redis.call('HGET', KEYS[2], ARGV[12])
for i = 3, #KEYS, 3 do
  end_of(KEYS[i])
  redis.call('ZCARD', KEYS[i + 1])
  redis.call('HLEN', KEYS[i + 2])
end
redis.call('LSET', log, place, ARGV[10])
local offset, epoch, _, payload
if #KEYS == 2 then
  offset, epoch, _, payload = append(log, rules.kept, rules.age, ARGV[11], now, 'M', ARGV[13])
  publish(ARGV[14], payload)
else
  offset, epoch = say_to_pair(log, 3, 14, (#KEYS - 2) / 3, rules, ARGV[11], now, ARGV[13])
end
read_own(KEYS[2], ARGV[12], read, epoch, offset, rules.age)
return 1
