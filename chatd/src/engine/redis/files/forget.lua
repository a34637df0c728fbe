-- Forgets a file whose content is gone.
--
-- KEYS  1 file   2 bytes by owner   3 ends   4 files of its group
-- ARGV  1 id   2 owner   3 bytes

if redis.call('DEL', KEYS[1]) == 1 then
  for _, field in ipairs({ 'user:' .. ARGV[2], 'all' }) do
    if redis.call('HINCRBY', KEYS[2], field, -tonumber(ARGV[3])) <= 0 then
      redis.call('HDEL', KEYS[2], field)
    end
  end
end
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('SREM', KEYS[4], ARGV[1])
