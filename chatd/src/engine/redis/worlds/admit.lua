-- Admits an app, unless there are as many as may be and nothing is kept of it.
--
-- KEYS  1 the apps that were admitted
-- ARGV  1 app   2 how many there may be   3 1 when something is kept of it
-- Answer: 1 when it is admitted

if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 1 then
  return 1
elseif ARGV[3] == '0' and redis.call('SCARD', KEYS[1]) >= tonumber(ARGV[2]) then
  return 0
end
redis.call('SADD', KEYS[1], ARGV[1])
return 1
