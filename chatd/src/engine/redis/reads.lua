-- Does commands one after the other, with nothing between them. A Redis that is full refuses every
-- command of a transaction, reads too, but not these.
--
-- KEYS  the key of each     ARGV  for each: its name, how many arguments follow its key, these
-- Answer: the answer to each

local answers, at = {}, 1
for i, key in ipairs(KEYS) do
  local last = at + 1 + tonumber(ARGV[at + 1])
  local answer = redis.pcall(ARGV[at], key, unpack(ARGV, at + 2, last))
  if type(answer) == 'table' and answer.err then
    return redis.error_reply(answer.err .. ': ' .. key)
  end
  answers[i] = answer
  at = last + 1
end
return answers
