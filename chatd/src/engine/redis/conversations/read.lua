-- Marks messages as read: never back, never past the newest. Begins with log.lua and unread.lua.
--
-- KEYS  1 log   2 what the user has read   for a group: 3 group, 4 members
-- ARGV  1 conversation as the user names it   2 sender's name as it stands in their own messages
--       3 oldest time kept, Unix ms   4 user   5 offset   6 how long history is kept ms, or 0
-- Answer: epoch, offset and time of the newest entry, offset read, unread, 1 when there may be more, the newest entry;
--         when refused: why, 0, 0, 0, 0, 2, nothing

if KEYS[3] then
  if redis.call('EXISTS', KEYS[3]) == 0 then
    return { 'no such group', 0, 0, 0, 0, 2, false }
  end
  if not redis.call('ZSCORE', KEYS[4], ARGV[4]) then
    return { 'not a member', 0, 0, 0, 0, 2, false }
  end
end

local epoch, last, time, _, _, newest = end_of(KEYS[1])
if not epoch then
  return { '', 0, 0, 0, 0, 0, false }
end
local since = tonumber(ARGV[3])
local before = read_of(KEYS[2], ARGV[1], epoch, last)
local after = math.max(before, math.min(tonumber(ARGV[5]), last))
if after > before then
  mark(KEYS[2], ARGV[1], epoch, after, tonumber(ARGV[6]))
end
local count, more = unread(KEYS[1], after, last, since, ARGV[2])
return { epoch, last, time, after, count, more, shown(newest, time, since) }
