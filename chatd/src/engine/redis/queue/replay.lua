-- Moves dead letters back into the outbox.
--
-- KEYS  1 outbox   2 dead letters
-- ARGV  1, 2 first and last id   3 how many at most
-- Answer: how many

local letters = redis.call('XRANGE', KEYS[2], ARGV[1], ARGV[2], 'COUNT', ARGV[3])
for _, letter in ipairs(letters) do
  local fields = {}
  for i = 1, #letter[2], 2 do
    if letter[2][i] ~= 'reason' then
      table.insert(fields, letter[2][i])
      table.insert(fields, letter[2][i + 1])
    end
  end
  redis.call('XADD', KEYS[1], '*', unpack(fields))
  redis.call('XDEL', KEYS[2], letter[1])
end
return #letters
