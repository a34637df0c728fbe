-- Removes fields of hashes that have the value they were found with.
--
-- KEYS  hashes     ARGV  for each hash: field, value

for i, hash in ipairs(KEYS) do
  if redis.call('HGET', hash, ARGV[2 * i - 1]) == ARGV[2 * i] then
    redis.call('HDEL', hash, ARGV[2 * i - 1])
  end
end
return 0
