-- Takes a share of a packet for a user, names him its winner, and queues the settlement.
--
-- KEYS  1 packet   2 its shares   3 its winners   4 outbox of the app
-- ARGV  1 user   2 now ms   3, 4 the settlement before and after its amount   5 how long a finished packet is kept s
-- Answer: outcome, cents, number of the share, 1 when it was the last
--
-- A packet that is not for everyone names the only user it is for, or the key of the members, which is in the same
-- slot. Amounts are whole numbers far below 2^53, which Lua adds exactly.

local packet, winners, user, now = KEYS[1], KEYS[3], ARGV[1], ARGV[2]
local mine = 'u:' .. user
local known = redis.call('HMGET', packet, mine, 'left', 'until', 'for', 'grabbed', 'best')
local had, left, whom = known[1], tonumber(known[2]), known[4]
if not left then
  return { 'no such packet', 0, 0, 0 }
elseif had then
  return { 'already', tonumber(had), 0, 0 }
elseif whom then
  local kind, name = string.sub(whom, 1, 1), string.sub(whom, 2)
  if (kind == 'u' and name ~= user) or (kind == 'g' and not redis.call('ZSCORE', name, user)) then
    return { 'not for you', 0, 0, 0 }
  end
end
if left == 0 then
  return { 'empty', 0, 0, 0 }
elseif tonumber(now) >= tonumber(known[3]) then
  return { 'expired', 0, 0, 0 }
end

local share = redis.call('LPOP', KEYS[2])
if not share then
  return { 'no share is left', 0, 0, 0 }
end
local amount = tonumber(share)
local number = redis.call('RPUSH', winners, share .. ' ' .. now .. ' ' .. user)
left = left - 1
if amount > tonumber(known[6]) then
  redis.call('HSET', packet, mine, share, 'left', left, 'grabbed', known[5] + amount, 'best', share, 'luckiest', user)
else
  redis.call('HSET', packet, mine, share, 'left', left, 'grabbed', known[5] + amount)
end
redis.call('XADD', KEYS[4], '*', 'body', ARGV[3] .. share .. ARGV[4])
if left > 0 then
  return { 'won', amount, number, 0 }
end
redis.call('EXPIRE', packet, ARGV[5])
redis.call('EXPIRE', winners, ARGV[5])
return { 'won', amount, number, 1 }
