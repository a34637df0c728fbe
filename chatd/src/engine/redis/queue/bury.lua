-- Makes a settlement a dead letter, unless it is no longer in the outbox.
--
-- KEYS  1 outbox   2 dead letters
-- ARGV  1 group   2 id of the entry   3 its body   4 why
-- Answer: 1 when it was buried

-- What is wrong with the other stream is found out before anything is taken out of this one.
redis.call('XLEN', KEYS[2])
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
if redis.call('XDEL', KEYS[1], ARGV[2]) == 0 then
  return 0
end
redis.call('XADD', KEYS[2], '*', 'body', ARGV[3], 'reason', ARGV[4])
return 1
