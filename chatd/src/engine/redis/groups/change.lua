-- Changes who belongs to a group, and appends and publishes the entry that tells of it. Begins with log.lua.
--
-- KEYS  1 log   2 group   3 its members   4, 5 groups and reads of the user concerned   6 reads of the user who acts
--       7 its files   8 ends of files   9 the files of a dismissed group
-- ARGV  1 'create', 'join', 'leave', 'kick' or 'dismiss'   2 who acts   3 the user concerned   4 now ms
--       5 epoch for a new history   6 messages kept per log   7 how long ms, or 0   8 group id
--       9 the group as its members name it   10 channel   11 first line of the entry   12 its body
--       13 name of a new group   14 channel of the user's inbox   15 notice that they are a member
--       16 groups a user may be in   17 members a group may have   18 name of the ninth among the ends of files
-- Answer: outcome, members after the change, offset and epoch of the newest entry

local action, actor, user = ARGV[1], ARGV[2], ARGV[3]
local log, group, members, groups, reads = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

local function answer(outcome)
  local epoch, last = end_of(log)
  return { outcome, redis.call('ZCARD', members), last or 0, epoch or '' }
end

-- Whether the user is in as many groups as are allowed; groups that are gone may still be counted.
local function full()
  return redis.call('HLEN', groups) >= tonumber(ARGV[16])
end

local owner = redis.call('HGET', group, 'owner')
if action == 'create' then
  if owner then
    return answer(owner == actor and 'unchanged' or 'taken')
  elseif full() then
    return answer('too many')
  end
elseif not owner then
  return answer('no such group')
elseif (action == 'kick' or action == 'dismiss') and actor ~= owner then
  return answer('not the owner')
elseif (action == 'kick' or action == 'leave') and user == owner then
  return answer('owner')
end

-- A member is among the members and has the group in their list. Where one of the two was lost, joining or leaving mends it.
local incarnation = owner and redis.call('HGET', group, 'epoch') or ARGV[5]
local listed = string.match(redis.call('HGET', groups, ARGV[8]) or '', '^[^\n]*') == incarnation
local counted = redis.call('ZSCORE', members, user) and true or false
local comes = action == 'create' or action == 'join'
if owner and action ~= 'dismiss' and ((comes and listed and counted) or not (comes or listed or counted)) then
  return answer('unchanged')
elseif action == 'join' and full() then
  return answer('too many')
elseif action == 'join' and not counted and redis.call('ZCARD', members) >= tonumber(ARGV[17]) then
  return answer('full')
end
-- Whatever is wrong with a key is found out before the first change.
end_of(log)
redis.call('HLEN', reads)
local read = redis.call('HGET', KEYS[6], ARGV[9])

if action == 'create' then
  redis.call('HSET', group, 'name', ARGV[13], 'owner', actor, 'epoch', incarnation)
  -- A log written before there were groups, or what is left of a group that was lost: its epoch must not live on.
  redis.call('UNLINK', log, members)
end

local age = tonumber(ARGV[7])
local offset, epoch, _, payload =
  append(log, tonumber(ARGV[6]), age, ARGV[5], tonumber(ARGV[4]), ARGV[11], ARGV[12])
if comes then
  redis.call('ZADD', members, 0, user)
  -- With the epoch of the group, so that it does not count for another group that has the id later.
  redis.call('HSET', groups, ARGV[8], string.format('%s\n%d', incarnation, offset))
  -- What was said before they joined counts as read.
  mark(reads, ARGV[9], epoch, offset, age)
else
  redis.call('ZREM', members, user)
  redis.call('HDEL', groups, ARGV[8])
  redis.call('HDEL', reads, ARGV[9])
  if action == 'kick' then
    read_own(KEYS[6], ARGV[9], read, epoch, offset, age)
  end
end
publish(ARGV[10], payload)
if comes then
  local place = string.format(',"offset":%d,"epoch":"%s"}', offset, epoch)
  publish(ARGV[14], string.sub(ARGV[15], 1, -2) .. place)
end

if action == 'dismiss' then
  -- What the members keep about the group counts no more and is removed when it is read.
  redis.call('UNLINK', log, group, members)
  if redis.call('EXISTS', KEYS[7]) == 1 then
    redis.call('RENAME', KEYS[7], KEYS[9])
    redis.call('ZADD', KEYS[8], 0, ARGV[18])
  end
  return { 'changed', 0, offset, epoch }
end
return { 'changed', redis.call('ZCARD', members), offset, epoch }
