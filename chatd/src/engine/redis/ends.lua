-- The newest entries of lists. One that is no list, and so of no use, must not keep the others from it.
--
-- KEYS  lists     Answer: for each its newest entry, nothing when it has none, or '' when it is something else

local newest = {}
for i, list in ipairs(KEYS) do
  local found = redis.pcall('LINDEX', list, -1)
  newest[i] = type(found) == 'table' and '' or found
end
return newest
