-- Begins a new epoch after a reader showed that a log lost its end, if that can be: an epoch begun in this life of
-- Redis has lost nothing, and who says so makes it up. Begins with log.lua.
--
-- KEYS  1 head of the log     ARGV  1 epoch and 2 offset that were shown   3 epoch for the new history
-- Answer: 1 when the epoch changed

local known = redis.call('HMGET', KEYS[1], 'epoch', 'number', 'life')
if known[1] ~= ARGV[1] or tonumber(ARGV[2]) <= tonumber(known[2]) then
  return 0
end
if known[3] == life() then
  return 0
end
fork(KEYS[1], known[1], known[2], ARGV[3])
return 1
