-- Makes a settlement a dead letter, unless it is no longer in the outbox.
--
-- KEYS  1 outbox   2 dead letters
-- ARGV  1 group   2 id of the entry   3 why
-- Answer: 1 when it was buried

-- What is wrong with the other stream is found out before anything is taken out of this one.
redis.call('XLEN', KEYS[2])
local entry = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])[1]
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
if not entry then
  return 0
end
redis.call('XDEL', KEYS[1], ARGV[2])
local fields = entry[2]
table.insert(fields, 'reason')
table.insert(fields, ARGV[3])
redis.call('XADD', KEYS[2], '*', unpack(fields))
return 1
