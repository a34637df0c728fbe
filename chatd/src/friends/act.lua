-- What one user does about another, for both sides at once.
--
-- KEYS  1 how the user stands to others   2 how the other does   3 whom the user blocks   4 whom the other blocks
-- ARGV  1 'request', 'accept', 'reject', 'remove', 'block' or 'unblock'   2 user   3 other
--       4 for a request: what the other keeps of it
-- A standing is 'requested', 'friends', or 'asked' followed by a line feed and what is kept of the request.
-- Answer: outcome, standing, 1 when the user blocks the other or 0

local action, user, other = ARGV[1], ARGV[2], ARGV[3]
local standing = string.match(redis.call('HGET', KEYS[1], other) or 'none', '^%l+')
local blocked = redis.call('SISMEMBER', KEYS[3], other)

local function answer(outcome)
  return { outcome, standing, blocked }
end

local function befriend()
  redis.call('HSET', KEYS[1], other, 'friends')
  redis.call('HSET', KEYS[2], user, 'friends')
  standing = 'friends'
  return answer('changed')
end

local function part()
  redis.call('HDEL', KEYS[1], other)
  redis.call('HDEL', KEYS[2], user)
  standing = 'none'
  return answer('changed')
end

if action == 'request' then
  if blocked == 1 then
    return answer('blocking')
  elseif redis.call('SISMEMBER', KEYS[4], user) == 1 then
    return answer('blocked')
  elseif standing == 'asked' then
    return befriend()
  elseif standing == 'none' then
    redis.call('HSET', KEYS[1], other, 'requested')
    redis.call('HSET', KEYS[2], user, 'asked\n' .. ARGV[4])
    standing = 'requested'
    return answer('changed')
  end
elseif action == 'accept' then
  if standing == 'asked' then
    return befriend()
  elseif standing ~= 'friends' then
    return answer('no request')
  end
elseif action == 'reject' then
  if standing == 'asked' then
    return part()
  end
  return answer('no request')
elseif action == 'remove' then
  if standing == 'friends' or standing == 'requested' then
    return part()
  end
elseif action == 'block' then
  local added = redis.call('SADD', KEYS[3], other)
  blocked = 1
  if standing ~= 'none' then
    return part()
  elseif added == 1 then
    return answer('changed')
  end
elseif action == 'unblock' and redis.call('SREM', KEYS[3], other) == 1 then
  blocked = 0
  return answer('changed')
end
return answer('unchanged')
