-- A conversation as a user sees it. Begins with log.lua and unread.lua.
--
-- KEYS  1 log   2 what the user has read   for a group: 3 group, 4 members
-- ARGV  1 conversation as the user names it   2 sender's name as it stands in their own messages
--       3 oldest time kept, Unix ms   4 user
-- Answer: epoch, offset and time of the newest entry, offset read, unread, 1 when there may be more, the newest entry;
-- or what is wrong with the members, four times 0, and 2

local epoch, last, time, _, _, newest = end_of(KEYS[1])
if not epoch then
  return { '', 0, 0, 0, 0, 0, false }
end
local since = tonumber(ARGV[3])
local read = read_of(KEYS[2], ARGV[1], epoch, last)
local count, more = unread(KEYS[1], read, last, since, ARGV[2])
-- Who was removed since the list was made sees nothing that was said after that.
local is_shown = not KEYS[4] or redis.pcall('ZSCORE', KEYS[4], ARGV[4])
if type(is_shown) == 'table' and is_shown.err then
  return { is_shown.err, 0, 0, 0, 0, 2, false }
end
return { epoch, last, time, read, count, more, is_shown and shown(newest, time, since) }
