-- Enters and removes users of one app on one node, tells for each whether that changed what others see, and announces
-- in the same step what did: who listens is told in the order in which it came to be.
--
-- KEYS  1 users on this node   2… users on each other live node
-- ARGV  1 channel of the world   2 users online above which nothing is announced
--       then per change: '1' enters, '0' removes, or '?' announces if the user is on any of the nodes; user; announcement
-- Answer: per change: 1 when decisive or 0, users online after it (a user on several nodes counts for each)

-- In a cluster a channel has a slot, and its name says so (keys.rs).
local publish = string.find(ARGV[1], '^{[%w._:-]+}:sbus:') and 'SPUBLISH' or 'PUBLISH'
local size, limit = 0, tonumber(ARGV[2])
for i = 1, #KEYS do
  size = size + redis.call('ZCARD', KEYS[i])
end

local function elsewhere(user)
  for other = 2, #KEYS do
    if redis.call('ZSCORE', KEYS[other], user) then
      return true
    end
  end
  return false
end

local answer = {}
for i = 3, #ARGV, 3 do
  local action, user, changed = ARGV[i], ARGV[i + 1], 0
  if action == '1' then
    changed = redis.call('ZADD', KEYS[1], 0, user)
    size = size + changed
  elseif action == '0' then
    changed = redis.call('ZREM', KEYS[1], user)
    size = size - changed
  elseif redis.call('ZSCORE', KEYS[1], user) or elsewhere(user) then
    changed = 1
  end
  if changed == 1 and action ~= '?' and elsewhere(user) then
    changed = 0
  end
  if changed == 1 and size <= limit then
    redis.call(publish, ARGV[1], ARGV[i + 2])
  end
  answer[#answer + 1] = changed
  answer[#answer + 1] = size
end
return answer
