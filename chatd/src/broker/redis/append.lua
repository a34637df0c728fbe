-- Puts one message into its log, into the inboxes of a pair, and onto the bus, or finds that it was there before.
--
-- KEYS  1 log   2 head of the log   3, 4, 5 ids sent in this, the previous and the next period (the clock of another
--       node may be ahead)   then per inbox: stream, head
-- ARGV  1 msgId, or '' when no repeat can come   2 now ms   3 repeat window ms   4 epoch for a new history
--       5 messages kept per log   6 messages kept per inbox   7 idle life of an inbox ms   8 body
--       then for world and group: channel; for each inbox: channel, other user
-- Answer: offset, epoch, time, 1 for a repeat or 0

local now = tonumber(ARGV[2])
local window = tonumber(ARGV[3])

if ARGV[1] ~= '' then
  for i = 3, 5 do
    local kept = redis.call('HGET', KEYS[i], ARGV[1])
    if kept then
      local offset, epoch, time = string.match(kept, '^(%d+)\n([^\n]+)\n(%d+)$')
      if now - tonumber(time) < window then
        return { tonumber(offset), epoch, tonumber(time), 1 }
      end
    end
  end
end

-- Epoch, last number and last time of a stream. Without a head nothing is known about what came before: a new epoch
-- begins, above the numbers still in the stream.
local function head_of(stream, head)
  local known = redis.call('HMGET', head, 'epoch', 'number', 'time')
  if known[1] then
    return known[1], tonumber(known[2]), tonumber(known[3])
  end
  local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  return ARGV[4], last and tonumber(string.match(last[1], '^%d+')) or 0, 0
end

local function put(stream, head, kept, epoch, number, time, payload)
  redis.call('XADD', stream, 'MAXLEN', '~', kept, string.format('%d-0', number), 'm', payload)
  redis.call('HSET', head, 'epoch', epoch, 'number', string.format('%d', number), 'time', string.format('%d', time))
end

local epoch, offset, last = head_of(KEYS[1], KEYS[2])
if offset > 0 and redis.call('EXISTS', KEYS[1]) == 0 then
  -- The entries are gone: what follows is another history.
  epoch, offset = ARGV[4], 0
end
offset = offset + 1
local time = math.max(now, last)
local payload = string.format('M\n%d\n%s\n%d\n', offset, epoch, time) .. ARGV[8]
put(KEYS[1], KEYS[2], ARGV[5], epoch, offset, time, payload)

if ARGV[1] ~= '' then
  redis.call('HSET', KEYS[3], ARGV[1], string.format('%d\n%s\n%d', offset, epoch, time))
  if redis.call('HLEN', KEYS[3]) == 1 then
    -- Asked for until the end of the next period.
    redis.call('PEXPIRE', KEYS[3], 3 * window)
  end
end

if #KEYS == 5 then
  redis.call('PUBLISH', ARGV[9], payload)
end
for i = 6, #KEYS, 2 do
  local channel, other = ARGV[i + 3], ARGV[i + 4]
  local box, number = head_of(KEYS[i], KEYS[i + 1])
  local copy = string.format('I\n%d\n%s\n%d\n%s\n', number + 1, box, time, other) .. payload
  -- The head stays when the stream expires, so that numbers go on and a quiet inbox never looks like a lost one.
  put(KEYS[i], KEYS[i + 1], ARGV[6], box, number + 1, time, copy)
  redis.call('PEXPIRE', KEYS[i], ARGV[7])
  redis.call('PUBLISH', channel, copy)
end

return { offset, epoch, time, 0 }
