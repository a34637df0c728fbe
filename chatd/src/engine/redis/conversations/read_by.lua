-- How far several users have read. Begins with log.lua and unread.lua.
--
-- KEYS  1 log   from 2 on: what each user has read
-- ARGV  for each of them: the conversation as they name it
-- Answer: epoch, or nothing in it when nothing was said; offset read of each

local epoch, last = end_of(KEYS[1])
local offsets = {}
for i = 1, #ARGV do
  offsets[i] = epoch and read_of(KEYS[i + 1], ARGV[i], epoch, last) or 0
end
return { epoch or '', offsets }
