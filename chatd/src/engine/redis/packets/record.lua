-- All that is kept of a packet, at one moment.
--
-- KEYS  1 packet   2 its shares   3 its winners
-- ARGV  1 most shares a packet has
-- Answer: fields and values of the packet, its shares, its winners
--
-- No transaction of commands: Redis refuses those when it is short of memory.

return {
  redis.call('HGETALL', KEYS[1]),
  redis.call('LRANGE', KEYS[2], 0, ARGV[1]),
  redis.call('LRANGE', KEYS[3], 0, ARGV[1]),
}
