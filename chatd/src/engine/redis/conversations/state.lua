-- A conversation as a user sees it. Begins with unread.lua.
--
-- KEYS  1 log   2 head of the log   3 what the user has read   for a group: 4 group, 5 members
-- ARGV  1 conversation as the user names it   2 sender's name as it stands in their own messages
--       3 oldest time kept, Unix ms   4 user
-- Answer: epoch, offset and time of the newest entry, offset read, unread, 1 when there may be more, the newest entry

local head = redis.call('HMGET', KEYS[2], 'epoch', 'number', 'time', 'born')
if not head[1] then
  return { '', 0, 0, 0, 0, 0, false }
end
local last = tonumber(head[2])
local read = read_of(KEYS[3], ARGV[1], head[4] or head[1], last)
local count, more = unread(KEYS[1], read, last, tonumber(ARGV[3]), ARGV[2])
-- Who was removed since the list was made sees nothing that was said after that.
local is_shown = not KEYS[5] or redis.call('ZSCORE', KEYS[5], ARGV[4])
return { head[1], last, tonumber(head[3]), read, count, more, is_shown and newest(KEYS[1], last, tonumber(ARGV[3])) }
