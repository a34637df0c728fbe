-- The bans of some users; whose ban has ended leaves the names.
--
-- KEYS  1 names   2… ban of each user
-- ARGV  the users
-- Answer: per user the ban, or false

local found = {}
for i = 1, #ARGV do
  found[i] = redis.call('GET', KEYS[i + 1])
  if not found[i] then
    redis.call('ZREM', KEYS[1], ARGV[i])
  end
end
return found
