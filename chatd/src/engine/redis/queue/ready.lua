-- Makes the consumer group of outboxes that have none, and forgets the consumers of receivers that ended long ago.
--
-- KEYS  outboxes
-- ARGV  1 group   2 after how long without a sign of life a consumer that has nothing is forgotten ms
-- Answer: for each outbox 1 when it has its group, 0 when Redis has no memory for one

local function has_group(outbox)
  if redis.call('EXISTS', outbox) == 1 then
    for _, group in ipairs(redis.call('XINFO', 'GROUPS', outbox)) do
      for i = 1, #group, 2 do
        if group[i] == 'name' and group[i + 1] == ARGV[1] then
          return true
        end
      end
    end
  end
  local made = redis.pcall('XGROUP', 'CREATE', outbox, ARGV[1], '0', 'MKSTREAM')
  if made.err and not string.find(made.err, 'OOM', 1, true) then
    error(made.err)
  end
  return not made.err
end

local ready = {}
for i, outbox in ipairs(KEYS) do
  ready[i] = has_group(outbox) and 1 or 0
  for _, consumer in ipairs(ready[i] == 1 and redis.call('XINFO', 'CONSUMERS', outbox, ARGV[1]) or {}) do
    local about = {}
    for j = 1, #consumer, 2 do
      about[consumer[j]] = consumer[j + 1]
    end
    if about.pending == 0 and about.idle > tonumber(ARGV[2]) then
      redis.call('XGROUP', 'DELCONSUMER', outbox, ARGV[1], about.name)
    end
  end
end
return ready
