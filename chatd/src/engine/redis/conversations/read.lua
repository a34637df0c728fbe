-- Marks messages as read: never back, never past the newest. Begins with unread.lua.
--
-- KEYS  1 log   2 head of the log   3 what the user has read   for a group: 4 group, 5 members
-- ARGV  1 conversation as the user names it   2 sender's name as it stands in their own messages
--       3 oldest time kept, Unix ms   4 user   5 offset   6 how long history is kept ms, or 0
-- Answer: epoch, offset and time of the newest entry, offset read, unread, 1 when there may be more, the newest entry;
--         when refused: why, 0, 0, 0, 0, 2, nothing

if KEYS[4] then
  if redis.call('EXISTS', KEYS[4]) == 0 then
    return { 'no such group', 0, 0, 0, 0, 2, false }
  end
  if not redis.call('ZSCORE', KEYS[5], ARGV[4]) then
    return { 'not a member', 0, 0, 0, 0, 2, false }
  end
end

local head = redis.call('HMGET', KEYS[2], 'epoch', 'number', 'time', 'born')
if not head[1] then
  return { '', 0, 0, 0, 0, 0, false }
end
local born, last = head[4] or head[1], tonumber(head[2])
local before = read_of(KEYS[3], ARGV[1], born, last)
local after = math.max(before, math.min(tonumber(ARGV[5]), last))
if after > before then
  redis.call('HSET', KEYS[3], ARGV[1], string.format('%s\n%d', born, after))
  -- What was read is gone after that, and so is this.
  if tonumber(ARGV[6]) > 0 then
    redis.call('PEXPIRE', KEYS[3], ARGV[6])
  else
    redis.call('PERSIST', KEYS[3])
  end
end
local count, more = unread(KEYS[1], after, last, tonumber(ARGV[3]), ARGV[2])
return { head[1], last, tonumber(head[3]), after, count, more, newest(KEYS[1], last, tonumber(ARGV[3])) }
