-- Marks messages as read: never back, never past the newest.
--
-- KEYS  1 head of the log   2 what the user has read   for a group: 3 group, 4 members
-- ARGV  1 conversation as the user names it   2 offset   3 user
-- Answer: offset and time of the newest message, offset read; when refused: 0, 0, 0, why

if KEYS[3] then
  if redis.call('EXISTS', KEYS[3]) == 0 then
    return { 0, 0, 0, 'no such group' }
  end
  if not redis.call('ZSCORE', KEYS[4], ARGV[3]) then
    return { 0, 0, 0, 'not a member' }
  end
end

local head = redis.call('HMGET', KEYS[1], 'epoch', 'number', 'time', 'born')
if not head[1] then
  return { 0, 0, 0, '' }
end
local born, last = head[4] or head[1], tonumber(head[2])
local known, offset = string.match(redis.call('HGET', KEYS[2], ARGV[1]) or '', '^([^\n]*)\n(%d+)$')
local before = known == born and math.min(tonumber(offset), last) or 0
local after = math.max(before, math.min(tonumber(ARGV[2]), last))
if after > before then
  redis.call('HSET', KEYS[2], ARGV[1], string.format('%s\n%d', born, after))
end
return { last, tonumber(head[3]), after, '' }
