-- Begins a new epoch after a log was found to have lost its end: numbers already seen are being given out again.
-- Of several nodes that find it, the first one changes the epoch; the others learn the new one. With an inbox go the
-- logs its messages stand in: each of them may have lost its end as well, and nobody else looks. They go first, some
-- with each call, and remember for which epoch of an inbox they went. Begins with log.lua.
--
-- KEYS  1 head   then, unless the turn is its own, heads of some of the logs behind an inbox
-- ARGV  1 the epoch that forked   2 epoch for the new history
-- Answer: epoch, number, time as they are now; nothing when there is no head

if redis.call('HGET', KEYS[1], 'epoch') == ARGV[1] then
  if #KEYS == 1 then
    fork(KEYS[1], ARGV[1], redis.call('HGET', KEYS[1], 'number'), ARGV[2])
  end
  for i = 2, #KEYS do
    -- One that is no head must not keep the others from it.
    local known = redis.pcall('HMGET', KEYS[i], 'epoch', 'number', 'by')
    if known[1] and known[3] ~= ARGV[1] then
      fork(KEYS[i], known[1], known[2], ARGV[2])
      redis.call('HSET', KEYS[i], 'by', ARGV[1])
    end
  end
end
return redis.call('HMGET', KEYS[1], 'epoch', 'number', 'time')
