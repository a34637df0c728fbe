-- Takes a share of a packet for a user, names him its winner, and queues the settlement.
--
-- KEYS  1 packet   2 its shares   3 outbox of the app
-- ARGV  1 user   2 now ms   3, 4 the settlement before and after its amount   5 how long a finished packet is kept s
-- Answer: outcome, cents, number of the share, 1 when it was the last
--
-- The packet names the key of the members it is for, which is in the same slot, or the only user it is for.
-- Amounts are whole numbers far below 2^53, which Lua adds exactly.

local packet, shares, user = KEYS[1], KEYS[2], ARGV[1]
local mine = 'u:' .. user
local known = redis.call('HMGET', packet, mine, 'count', 'taken', 'grabbed', 'best', 'expires', 'refunded', 'members', 'only')
local had, count, members, only = known[1], tonumber(known[2]), known[8], known[9]
if not count then
  return { 'no such packet', 0, 0, 0 }
elseif had then
  return { 'already', tonumber(had), 0, 0 }
elseif (members and not redis.call('ZSCORE', members, user)) or (only and only ~= user) then
  return { 'not for you', 0, 0, 0 }
end

local number = known[3] + 1
if number > count then
  return { 'empty', 0, 0, 0 }
elseif known[7] or tonumber(ARGV[2]) >= tonumber(known[6]) then
  return { 'expired', 0, 0, 0 }
end

local share = redis.call('LPOP', shares)
if not share then
  return { 'no share is left', 0, 0, 0 }
end
local amount = tonumber(share)
local winner = share .. ' ' .. ARGV[2] .. ' ' .. user
if amount > tonumber(known[5]) then
  redis.call('HSET', packet, mine, share, 'n:' .. number, winner, 'taken', number, 'grabbed', known[4] + amount,
    'best', share, 'luckiest', user)
else
  redis.call('HSET', packet, mine, share, 'n:' .. number, winner, 'taken', number, 'grabbed', known[4] + amount)
end
redis.call('XADD', KEYS[3], '*', 'body', ARGV[3] .. share .. ARGV[4])
if number < count then
  return { 'won', amount, number, 0 }
end
redis.call('EXPIRE', packet, ARGV[5])
return { 'won', amount, number, 1 }
