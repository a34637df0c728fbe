-- Begins a new epoch after a reader showed that a log lost its end, if that can be: an epoch begun in this life of
-- Redis has lost nothing, and who says so makes it up. Begins with log.lua.
--
-- KEYS  1 log     ARGV  1 epoch and 2 offset that were shown   3 chance for the name of a new epoch
-- Answer: 1 when the epoch changed

local epoch, last = end_of(KEYS[1])
if epoch ~= ARGV[1] or tonumber(ARGV[2]) <= last or string.sub(epoch, -6) == life() then
  return 0
end
fork(KEYS[1], ARGV[3])
return 1
