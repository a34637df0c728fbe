-- Begins a new epoch after a log or an inbox was found to have lost its end: numbers already seen are being given out
-- again. Of several nodes that find it, the first one changes the epoch; the others learn the new one. With an inbox go
-- the logs its messages stand in: each of them may have lost its end as well, and nobody else looks. They go first, some
-- with each call; the names of their epochs tell for which epoch of an inbox they went. Begins with log.lua.
--
-- KEYS  1 log or inbox   then, unless the turn is its own, some of the logs behind an inbox
-- ARGV  1 the epoch that forked   2 chance for the name of the new one
-- Answer: the newest entry as it is now, or nothing

if end_of(KEYS[1]) == ARGV[1] then
  if #KEYS == 1 then
    fork(KEYS[1], ARGV[2])
  end
  local chance = string.sub(redis.sha1hex(ARGV[1]), 1, 10)
  for i = 2, #KEYS do
    -- One that is no log must not keep the others from it.
    local is_log, epoch = pcall(end_of, KEYS[i])
    if is_log and epoch and string.sub(epoch, -16, -7) ~= chance then
      fork(KEYS[i], chance)
    end
  end
end
return redis.call('LINDEX', KEYS[1], -1)
