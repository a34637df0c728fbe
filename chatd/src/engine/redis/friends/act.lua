-- What one user does about another, for both sides at once.
--
-- KEYS  1 how the user stands to others   2 how the other does   3 whom the user blocks   4 whom the other blocks
-- ARGV  1 'request', 'accept', 'reject', 'remove', 'block' or 'unblock'   2 user   3 other
--       4 for a request: what the other keeps of it   5 requests each way that may wait   6 friends, or blocks, at most
-- A standing is 'requested', 'friends', or 'asked' followed by a line feed and what is kept of the request.
-- Answer: outcome, standing, 1 when the user blocks the other or 0, and with 'full: their requests' whose is the oldest

local action, user, other = ARGV[1], ARGV[2], ARGV[3]
local requests, friends = tonumber(ARGV[5]), tonumber(ARGV[6])
local standing = string.match(redis.call('HGET', KEYS[1], other) or 'none', '^%l+')
local blocked = redis.call('SISMEMBER', KEYS[3], other)
-- Whatever is wrong with a key is found out before the first change.
redis.call('HLEN', KEYS[2])
local refused = redis.call('SISMEMBER', KEYS[4], user) == 1

local function answer(outcome)
  return { outcome, standing, blocked, '' }
end

-- Whether somebody has as many standings of a kind as are allowed.
local function full(standings, kind, most)
  if redis.call('HLEN', standings) < most then
    return false
  end
  local count = 0
  for _, kept in ipairs(redis.call('HVALS', standings)) do
    if string.match(kept, '^%l+') == kind then
      count = count + 1
    end
  end
  return count >= most
end

-- Who asked first of those whose request waits.
local function oldest(standings)
  local first, name
  local all = redis.call('HGETALL', standings)
  for at = 1, #all, 2 do
    local time = tonumber(string.match(all[at + 1], '^asked\n(%d+)'))
    if time and (not first or time < first or (time == first and all[at] < name)) then
      first, name = time, all[at]
    end
  end
  return name
end

local function befriend()
  if full(KEYS[1], 'friends', friends) then
    return answer('full: my friends')
  elseif full(KEYS[2], 'friends', friends) then
    return answer('full: their friends')
  end
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
  elseif refused then
    return answer('blocked')
  elseif standing == 'asked' then
    return befriend()
  elseif standing == 'none' then
    if full(KEYS[1], 'requested', requests) then
      return answer('full: my requests')
    elseif full(KEYS[2], 'asked', requests) then
      return { 'full: their requests', standing, blocked, oldest(KEYS[2]) or '' }
    end
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
  if blocked == 0 and redis.call('SCARD', KEYS[3]) >= friends then
    return answer('full: my blocks')
  end
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
