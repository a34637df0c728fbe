-- Enters and removes users of one app on this node, and tells for each whether that changed what others see.
--
-- KEYS  1 users on this node   2… users on each other live node
-- ARGV  per change: '1' enters or '0' removes, user
-- Answer: per change: 1 when decisive or 0, users online after it (a user on several nodes counts for each)

local size = 0
for i = 1, #KEYS do
  size = size + redis.call('ZCARD', KEYS[i])
end

local answer = {}
for i = 1, #ARGV, 2 do
  local user, changed = ARGV[i + 1], 0
  if ARGV[i] == '1' then
    changed = redis.call('ZADD', KEYS[1], 0, user)
    size = size + changed
  else
    changed = redis.call('ZREM', KEYS[1], user)
    size = size - changed
  end
  for other = 2, #KEYS do
    if changed == 1 and redis.call('ZSCORE', KEYS[other], user) then
      changed = 0
    end
  end
  answer[#answer + 1] = changed
  answer[#answer + 1] = size
end
return answer
