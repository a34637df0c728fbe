-- Tells how many users of an app are online as far as one node has counted for all, and since when, or gives the turn
-- to count.
--
-- KEYS  1 the count: users and the time of Redis at which counting them began, ms; or what is neither, while a node
--       counts
-- ARGV  1 how long a turn lasts, ms; 0: none is asked for
-- Answer: users, or -1: nobody has counted, or -2: a node counts now; how long ago that began, ms; for how long it is
-- to be told, ms; the time of Redis, ms

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = redis.call('GET', KEYS[1])
if not found then
  if ARGV[1] ~= '0' then
    -- A Redis that is full takes no note of a turn, and is read all the same.
    redis.pcall('SET', KEYS[1], '-', 'PX', ARGV[1])
  end
  return { -1, 0, 0, now }
end
local users, began = string.match(found, '^(%d+) (%d+)$')
if not users then
  return { -2, 0, 0, now }
end
-- Neither is negative, whatever became of the clock or of the key.
local life = redis.call('PTTL', KEYS[1])
return { tonumber(users), math.max(now - tonumber(began), 0), math.max(life, 0), now }
