-- Begins a new epoch after a log was found to have lost its end: numbers already seen are being given out again.
-- Of several nodes that find it, the first one changes the epoch; the others learn the new one. With an inbox go the
-- logs its messages stand in: each of them may have lost its end as well, and nobody else looks. Begins with log.lua.
--
-- KEYS  1 head   then heads of the logs behind an inbox     ARGV  1 the epoch that forked   2 epoch for the new history
-- Answer: epoch, number, time as they are now; nothing when there is no head

if redis.call('HGET', KEYS[1], 'epoch') == ARGV[1] then
  for _, head in ipairs(KEYS) do
    -- One that is no head must not keep the others from it.
    local known = redis.pcall('HMGET', head, 'epoch', 'number')
    if known[1] then
      fork(head, known[1], known[2], ARGV[2])
    end
  end
end
return redis.call('HMGET', KEYS[1], 'epoch', 'number', 'time')
