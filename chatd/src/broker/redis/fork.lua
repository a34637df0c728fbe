-- Begins a new epoch after a log was found to have lost its end: numbers already seen are being given out again.
-- Of several nodes that find it, the first one changes the epoch; the others learn the new one.
--
-- KEYS  1 head     ARGV  1 the epoch that forked   2 epoch for the new history
-- Answer: epoch, number, time as they are now; nothing when there is no head

if redis.call('HGET', KEYS[1], 'epoch') == ARGV[1] then
  -- What was read before the fork stays read.
  redis.call('HSETNX', KEYS[1], 'born', ARGV[1])
  redis.call('HSET', KEYS[1], 'epoch', ARGV[2])
end
return redis.call('HMGET', KEYS[1], 'epoch', 'number', 'time')
