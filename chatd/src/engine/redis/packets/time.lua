-- What the scripts that go by the time begin with.

-- Unix milliseconds: what a test gives, else the clock of this Redis, which all nodes share.
local function time(given)
  if given ~= '' then
    return given
  end
  local now = redis.call('TIME')
  return string.format('%d', now[1] * 1000 + math.floor(now[2] / 1000))
end
