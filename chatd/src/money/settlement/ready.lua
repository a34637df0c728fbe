-- Makes the consumer group of outboxes that have none, and forgets the consumers of receivers that ended long ago.
--
-- KEYS  outboxes
-- ARGV  1 group   2 after how long without a sign of life a consumer that has nothing is forgotten ms
-- Answer: how many outboxes there are

for _, outbox in ipairs(KEYS) do
  local made = redis.pcall('XGROUP', 'CREATE', outbox, ARGV[1], '0', 'MKSTREAM')
  if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then
    return made
  end
  for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', outbox, ARGV[1])) do
    local about = {}
    for i = 1, #consumer, 2 do
      about[consumer[i]] = consumer[i + 1]
    end
    if about.pending == 0 and about.idle > tonumber(ARGV[2]) then
      redis.call('XGROUP', 'DELCONSUMER', outbox, ARGV[1], about.name)
    end
  end
end
return #KEYS
