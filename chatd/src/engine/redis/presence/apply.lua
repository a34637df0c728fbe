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

-- Changed here, so far; and whom that is decisive for if they are on no other node.
local answer, asked = {}, {}
for i = 3, #ARGV, 3 do
  local action, user, changed = ARGV[i], ARGV[i + 1], 0
  if action == '1' then
    changed = redis.call('ZADD', KEYS[1], 0, user)
    size = size + changed
  elseif action == '0' then
    changed = redis.call('ZREM', KEYS[1], user)
    size = size - changed
  elseif redis.call('ZSCORE', KEYS[1], user) then
    changed = 1
  end
  if (changed == 1) ~= (action == '?') then
    asked[#asked + 1] = user
  end
  answer[#answer + 1] = changed
  answer[#answer + 1] = size
end

-- Each other node is asked once about all: a command for each of them and each user took most of the time.
local elsewhere = {}
for other = 2, #asked > 0 and #KEYS or 1 do
  local scores = redis.call('ZMSCORE', KEYS[other], unpack(asked))
  for i = 1, #asked do
    if scores[i] then
      elsewhere[asked[i]] = true
    end
  end
end

for i = 3, #ARGV, 3 do
  local at = (i - 3) / 3 * 2 + 1
  if ARGV[i] == '?' then
    answer[at] = (answer[at] == 1 or elsewhere[ARGV[i + 1]]) and 1 or 0
  elseif elsewhere[ARGV[i + 1]] then
    answer[at] = 0
  end
  if answer[at] == 1 and answer[at + 1] <= limit then
    redis.call(publish, ARGV[1], ARGV[i + 2])
  end
end
return answer
