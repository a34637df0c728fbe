-- Adds a file, unless it would be too much for its owner or its app.
--
-- KEYS  1 file   2 bytes by owner   3 ends   4 files of its group
-- ARGV  1 record   2 id   3 owner   4 bytes   5 its end ms   6 bytes an owner may have, 0 for any   7 an app, the same
--       8 1 when it is of a group
-- Answer: outcome, bytes there are

if redis.call('EXISTS', KEYS[1]) == 1 then
  return { 'added', 0 }
end
local bytes = tonumber(ARGV[4])
local owner, app = 'user:' .. ARGV[3], 'all'
for i, field in ipairs({ owner, app }) do
  local held, most = tonumber(redis.call('HGET', KEYS[2], field) or 0), tonumber(ARGV[5 + i])
  if most > 0 and held + bytes > most then
    return { field == app and 'app' or 'user', held }
  end
end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('HINCRBY', KEYS[2], owner, ARGV[4])
redis.call('HINCRBY', KEYS[2], app, ARGV[4])
redis.call('ZADD', KEYS[3], ARGV[5], ARGV[2])
if ARGV[8] == '1' then
  redis.call('SADD', KEYS[4], ARGV[2])
end
return { 'added', 0 }
