-- Reads everything that changes of a packet. Begins with era.lua.
--
-- KEYS  1 packet   2 its shares   3 its winners
-- Answer: nothing when there is no such packet; else shares left, cents grabbed, cents refunded or '', the life of this
-- Redis, the winners, the shares

local known = redis.call('HMGET', KEYS[1], 'left', 'grabbed', 'refunded')
if not known[1] then
  return {}
end
return {
  known[1], known[2], known[3] or '', era() or '', redis.call('LRANGE', KEYS[3], 0, -1),
  redis.call('LRANGE', KEYS[2], 0, -1),
}
