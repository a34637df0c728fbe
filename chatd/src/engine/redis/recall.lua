-- Takes the content of an entry away, from its log and from the inboxes of a pair, and appends the entry that tells of
-- it. A stream entry cannot be changed: it is deleted, and what stays of it, the stub, lies beside the stream. Begins
-- with log.lua.
--
-- KEYS  1 log   2 head of the log   3 stubs of the log   4 what the sender has read
--       then per inbox: stream, head, stubs, pairs and reads of its owner
-- ARGV  1 offset   2 the entry's payload   3 its stub   4 now ms   5 epoch for a new history   6 messages kept per log
--       7 messages kept per inbox   8 how long they are kept ms, or 0   9 idle life of an inbox ms
--       10 body of the entry that tells of it   11 conversation as the sender names it
--       then for world and group: channel; for each inbox: channel, other user
-- Answer: 1, or 0 when the entry is not what it was

local entry = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
if not entry or entry[2][2] ~= ARGV[2] then
  return 0
end
-- Also what is written only later: nothing may be done by halves.
redis.call('ZCARD', KEYS[3])
local read, inboxes = redis.call('HGET', KEYS[4], ARGV[11]), {}
local now, age, fresh, idle = tonumber(ARGV[4]), tonumber(ARGV[8]), ARGV[5], ARGV[9]
for inbox = 0, (#KEYS - 4) / 5 - 1 do
  inboxes[inbox] = look(KEYS[5 * inbox + 5], KEYS[5 * inbox + 6], KEYS[5 * inbox + 7], fresh)
  redis.call('ZCARD', KEYS[5 * inbox + 8])
  if age > 0 then
    redis.call('HLEN', KEYS[5 * inbox + 9])
  end
end

local function replace(stream, head, stubs, id, number, stub)
  redis.call('ZADD', stubs, number, stub)
  redis.call('XDEL', stream, id)
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
local offset, _, time, born, payload, ends = append(KEYS[1], KEYS[2], KEYS[3], ARGV[6], age, fresh, now, 'M', ARGV[10])
read_own(KEYS[4], ARGV[11], read, born, offset, age)
if #KEYS == 4 then
  redis.call('PUBLISH', ARGV[12], payload)
  return 1
end
local left = age > 0 and age + time - now
set_end(KEYS[1], KEYS[2], KEYS[3], left, ends)
for inbox = 0, (#KEYS - 4) / 5 - 1 do
  local stream, head, stubs = KEYS[5 * inbox + 5], KEYS[5 * inbox + 6], KEYS[5 * inbox + 7]
  local channel, other = ARGV[2 * inbox + 12], ARGV[2 * inbox + 13]
  local id, copy = copy_in(stream, other)
  if id then
    local stub = string.sub(copy, 1, #copy - #ARGV[2]) .. ARGV[3]
    replace(stream, head, stubs, id, string.match(id, '^%d+'), stub)
    redis.call('PEXPIRE', stubs, idle)
    inboxes[inbox].recalled = true
  end
  deliver(inboxes[inbox], ARGV[7], idle, age, fresh, now, time, other, payload, channel)
  meet(KEYS[5 * inbox + 8], KEYS[5 * inbox + 9], other, time, now - age, left)
end
return 1
