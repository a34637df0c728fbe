-- Takes the content of an entry away, from its log and from the inboxes of a pair, and tells the readers.
-- A stream entry cannot be changed: it is deleted, and what stays of it, the stub, lies beside the stream.
--
-- KEYS  1 log   2 head of the log   3 stubs of the log   then per inbox: stream, head, stubs
-- ARGV  1 offset   2 the entry's payload   3 its stub   4 notice   5 idle life of an inbox ms
--       then for world and group: channel; for each inbox: channel, other user
-- Answer: 1, or 0 when the entry is not what it was

local entry = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
if not entry or entry[2][2] ~= ARGV[2] then
  return 0
end

local function replace(stream, head, stubs, id, number, stub)
  redis.call('XDEL', stream, id)
  redis.call('ZADD', stubs, number, stub)
  -- Those who append look for stubs only where this says so.
  redis.call('HSET', head, 'stubs', 1)
end

-- The copy of the entry in an inbox: the newest are looked at first, for mostly they are recalled soon.
local function copy_in(stream, other)
  local to = '+'
  while true do
    local some = redis.call('XREVRANGE', stream, to, '-', 'COUNT', 50)
    for _, found in ipairs(some) do
      local peer, inner = string.match(found[2][2], '^I\n%d+\n[^\n]*\n%d+\n([^\n]*)\n(.*)$')
      if peer == other and inner == ARGV[2] then
        return found[1], found[2][2]
      end
    end
    if #some < 50 then
      return nil
    end
    to = '(' .. some[50][1]
  end
end

replace(KEYS[1], KEYS[2], KEYS[3], entry[1], ARGV[1], ARGV[3])
if #KEYS == 3 then
  redis.call('PUBLISH', ARGV[6], ARGV[4])
end
for inbox = 0, #KEYS / 3 - 2 do
  local stream, head, stubs = KEYS[3 * inbox + 4], KEYS[3 * inbox + 5], KEYS[3 * inbox + 6]
  local channel, other = ARGV[2 * inbox + 6], ARGV[2 * inbox + 7]
  local id, copy = copy_in(stream, other)
  if id then
    local stub = string.sub(copy, 1, #copy - #ARGV[2]) .. ARGV[3]
    replace(stream, head, stubs, id, string.match(id, '^%d+'), stub)
    redis.call('PEXPIRE', stubs, ARGV[5])
  end
  redis.call('PUBLISH', channel, ARGV[4])
end
return 1
