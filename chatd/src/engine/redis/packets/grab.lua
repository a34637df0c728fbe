-- Takes a share of a packet for a user, names them its winner, and queues the settlement. Begins with era.lua, time.lua
-- and queue.lua.
--
-- KEYS  1 packet   2 its shares   3 its winners   4 outbox of the app
-- ARGV  1 user   2 the time ms, or '' for that of this Redis   3 app   4 id of the packet
--       5 how long a finished packet is kept s
-- Answer: outcome, cents, number of the share, 1 when it was the last
--
-- A packet that is not for everyone names the only user it is for, or the keys of the members and of the group, which
-- are in the same slot, and which of the groups that ever had this name. Amounts are whole numbers far below 2^53,
-- which Lua adds exactly.

local packet, shares, winners, outbox, user = KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1]
local mine = 'u:' .. user
local known = redis.call('HMGET', packet, mine, 'left', 'until', 'for', 'grabbed', 'best', 'group', 'incarnation',
  'era')
local had, left, whom, group = known[1], tonumber(known[2]), known[4], known[7]
if not left then
  return { 'no such packet', 0, 0, 0 }
elseif had then
  return { 'already', tonumber(had), 0, 0 }
elseif whom then
  local kind, name = string.sub(whom, 1, 1), string.sub(whom, 2)
  if (kind == 'u' and name ~= user) or (kind == 'g' and not redis.call('ZSCORE', name, user))
    or (group and redis.call('HGET', group, 'epoch') ~= known[8]) then
    return { 'not for you', 0, 0, 0 }
  end
end
local now = time(ARGV[2])
if left == 0 then
  return { 'empty', 0, 0, 0 }
elseif tonumber(now) >= tonumber(known[3]) then
  return { 'expired', 0, 0, 0 }
end

-- After a start of Redis, perhaps from an older state, the books are compared with the ledger's before they count.
local life = era()
if life and life ~= known[9] then
  return { 'doubtful', 0, 0, 0 }
end

-- Whatever is wrong with a key is found out before the first change.
local share = redis.call('LINDEX', shares, 0)
local number = redis.call('LLEN', winners) + 1
redis.call('XLEN', outbox)
if not share then
  return { 'no share is left', 0, 0, 0 }
end
local amount = tonumber(share)
left = left - 1
-- First: without memory Redis refuses this and nothing was done, while a script that took something out goes on.
if amount > tonumber(known[6]) then
  redis.call('HSET', packet, mine, share, 'left', left, 'grabbed', known[5] + amount, 'best', share, 'luckiest', user)
else
  redis.call('HSET', packet, mine, share, 'left', left, 'grabbed', known[5] + amount)
end
redis.call('LPOP', shares)
redis.call('RPUSH', winners, share .. ' ' .. now .. ' ' .. user)
queue(outbox, ARGV[3], ARGV[4], 'grab', user, share, now)
if left > 0 then
  return { 'won', amount, number, 0 }
end
redis.call('EXPIRE', packet, ARGV[5])
redis.call('EXPIRE', winners, ARGV[5])
return { 'won', amount, number, 1 }
