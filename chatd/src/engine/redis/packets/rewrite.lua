-- Writes the books of a packet anew, unless they changed since they were read. Begins with era.lua, time.lua
-- and queue.lua.
--
-- KEYS  1 packet   2 its shares   3 its winners   4 outbox of the app
-- ARGV  1, 2, 3, 4 as they were read: shares left, cents grabbed, cents refunded or '', the life of this Redis
--       then nothing, which says only that the books were compared in this life, or
--       5, 6, 7 as they are now: shares left, cents grabbed, cents refunded or ''   8 the greatest share   9 whose
--       10 app   11 id of the packet   12 its sender   13 the time ms, or '' for that of this Redis
--       14 how long a finished packet is kept s   15 how many are winners no more   16 how many are winners
--       then these, each winner as in the list, then the shares
-- Answer: 1 when they were written

local packet, shares, winners, outbox = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local known = redis.call('HMGET', packet, 'left', 'grabbed', 'refunded')
if known[1] ~= ARGV[1] or known[2] ~= ARGV[2] or (known[3] or '') ~= ARGV[3] or (era() or '') ~= ARGV[4] then
  return 0
end
redis.call('XLEN', outbox)
redis.call('HSET', packet, 'era', ARGV[4])
if #ARGV == 4 then
  return 1
end

local function fill(list, first, last)
  redis.call('DEL', list)
  -- The stack of Lua does not hold 10,000 values.
  for i = first, last, 1000 do
    redis.call('RPUSH', list, unpack(ARGV, i, math.min(i + 999, last)))
  end
end
local first_winner = 17 + tonumber(ARGV[15])
local first_share = first_winner + tonumber(ARGV[16])
redis.call('HSET', packet, 'left', ARGV[5], 'grabbed', ARGV[6], 'best', ARGV[8], 'luckiest', ARGV[9])
for i = 17, first_winner - 1 do
  redis.call('HDEL', packet, 'u:' .. ARGV[i])
end
for i = first_winner, first_share - 1 do
  local share, user = string.match(ARGV[i], '^(%d+) %d+ (.*)$')
  redis.call('HSET', packet, 'u:' .. user, share)
end
fill(winners, first_winner, first_share - 1)
fill(shares, first_share, #ARGV)
if ARGV[7] ~= '' then
  redis.call('HSET', packet, 'refunded', ARGV[7], 'until', 0)
  if not known[3] and ARGV[7] ~= '0' then
    queue(outbox, ARGV[10], ARGV[11], 'refund', ARGV[12], ARGV[7], time(ARGV[13]))
  end
end
if ARGV[7] ~= '' or ARGV[5] == '0' then
  redis.call('EXPIRE', packet, ARGV[14])
  redis.call('EXPIRE', winners, ARGV[14])
end
return 1
