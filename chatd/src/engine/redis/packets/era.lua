-- What the scripts begin with that must know whether Redis was started since.

-- Name of this life of Redis; nothing where chatd may not ask for it.
local function era()
  local section = 'server'
  local about = redis.pcall('INFO', section)
  return type(about) == 'string' and string.match(about, 'run_id:(%w+)') or nil
end
