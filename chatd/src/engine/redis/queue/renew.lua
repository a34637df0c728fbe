-- Says that a receiver still has what it received, unless another has it by now.
--
-- KEYS  1 outbox
-- ARGV  1 group   2 consumer   then the ids of the entries
-- Answer: how many it still has

local still = 0
for i = 3, #ARGV do
  if redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])[1] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID')
    still = still + 1
  end
end
return still
