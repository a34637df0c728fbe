-- Takes some users off an ended lease, and tells which of them are on no live node.
--
-- KEYS  1 users of the ended lease   2… users on each live node of the app
-- ARGV  1 how many at most
-- Answer: how many were taken, users online now (a user on several nodes counts for each), and the list of those who vanished

local taken = redis.call('ZPOPMIN', KEYS[1], ARGV[1])
local size = 0
for i = 2, #KEYS do
  size = size + redis.call('ZCARD', KEYS[i])
end

local vanished = {}
for i = 1, #taken, 2 do
  local elsewhere = false
  for other = 2, #KEYS do
    elsewhere = elsewhere or redis.call('ZSCORE', KEYS[other], taken[i])
  end
  if not elsewhere then
    vanished[#vanished + 1] = taken[i]
  end
end
return { #taken / 2, size, vanished }
