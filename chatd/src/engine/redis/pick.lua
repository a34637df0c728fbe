-- Entries of logs by their offsets. Begins with log.lua.
--
-- KEYS  logs     ARGV  for each its offset
-- Answer: for each the entry, or nothing where it is not kept

local entries = {}
for i, log in ipairs(KEYS) do
  -- One that is no log must not keep the others from it.
  local is_log, _, last = pcall(end_of, log)
  local back = is_log and last and tonumber(ARGV[i]) - last - 1
  entries[i] = back and back < 0 and redis.call('LINDEX', log, string.format('%d', back)) or false
end
return entries
