-- Puts one message into its log, into the inboxes of a pair, and onto the bus, or finds that it was there before, that
-- its id belongs to another message, or that its sender may not send it. Begins with log.lua.
--
-- KEYS  1 log   2 head of the log   3 stubs of the log   4, 5, 6 ids sent in this, the previous and the next period
--       (the clock of another node may be ahead)   7 what the sender has read
--       group: 8 group, 9 members, 10 groups of the sender
--       pair: 8 users the recipient blocks   then per inbox: stream, head, stubs, pairs and reads of its owner
-- ARGV  1 msgId, or '' when no repeat can come   2 now ms   3 repeat window ms   4 epoch for a new history
--       5 messages kept per log   6 messages kept per inbox   7 how long they are kept ms, or 0
--       8 idle life of an inbox ms   9 body   10 sender   11 conversation as the sender names it
--       12 'world', 'group' or 'pair'   13 fingerprint of the message
--       then for world and group: channel; for each inbox: channel, other user
-- Answer: offset, epoch, time, 1 for a repeat or 0; when refused: 0, why, 0, 0

local now = tonumber(ARGV[2])
local window = tonumber(ARGV[3])
local age, sender, kind = tonumber(ARGV[7]), ARGV[10], ARGV[12]

if ARGV[1] ~= '' then
  for i = 4, 6 do
    local kept = redis.call('HGET', KEYS[i], ARGV[1])
    if kept then
      local offset, epoch, time, fingerprint = string.match(kept, '^(%d+)\n([^\n]+)\n(%d+)\n?(%x*)$')
      if now - tonumber(time) < window then
        -- What an earlier version of chatd kept has no fingerprint.
        if fingerprint ~= '' and fingerprint ~= ARGV[13] then
          return { 0, 'used', 0, 0 }
        end
        -- A group of this id that was founded since is another one, and has not got the message.
        local founded = kind == 'group' and redis.call('HGET', KEYS[8], 'epoch')
        if founded then
          local function history(of) return string.match(of or '', '^[^.]*') end
          local now = redis.call('HGET', KEYS[2], 'epoch')
          if history(epoch) ~= history(founded) and history(epoch) ~= history(now) then
            return { 0, 'used', 0, 0 }
          end
        end
        return { tonumber(offset), epoch, tonumber(time), 1 }
      end
    end
  end
end

if kind == 'group' then
  local incarnation = redis.call('HGET', KEYS[8], 'epoch')
  if not incarnation then
    return { 0, 'no such group', 0, 0 }
  end
  -- Whoever lost the list of their groups is served none: they are told, and join anew.
  local listed = redis.call('HGET', KEYS[10], string.sub(ARGV[11], #'group:' + 1))
  if not listed or string.match(listed, '^[^\n]*') ~= incarnation or not redis.call('ZSCORE', KEYS[9], sender) then
    return { 0, 'not a member', 0, 0 }
  end
elseif kind == 'pair' and redis.call('SISMEMBER', KEYS[8], sender) == 1 then
  return { 0, 'blocked', 0, 0 }
end

local inboxes = {}
if kind == 'pair' then
  for inbox = 0, (#KEYS - 8) / 5 - 1 do
    inboxes[inbox] = look(KEYS[5 * inbox + 9], KEYS[5 * inbox + 10], KEYS[5 * inbox + 11], ARGV[4])
    redis.call('ZCARD', KEYS[5 * inbox + 12])
    if age > 0 then
      redis.call('HLEN', KEYS[5 * inbox + 13])
    end
  end
end
local read = redis.call('HGET', KEYS[7], ARGV[11])

local offset, epoch, time, born, payload, ends =
  append(KEYS[1], KEYS[2], KEYS[3], ARGV[5], age, ARGV[4], now, 'M', ARGV[9])
read_own(KEYS[7], ARGV[11], read, born, offset, age)

if ARGV[1] ~= '' then
  redis.call('HSET', KEYS[4], ARGV[1], string.format('%d\n%s\n%d\n%s', offset, epoch, time, ARGV[13]))
  if redis.call('HLEN', KEYS[4]) == 1 then
    -- Asked for until the end of the next period.
    redis.call('PEXPIRE', KEYS[4], 3 * window)
  end
end

if kind ~= 'pair' then
  redis.call('PUBLISH', ARGV[14], payload)
  return { offset, epoch, time, 0 }
end

local left = age > 0 and age + time - now
set_end(KEYS[1], KEYS[2], KEYS[3], left, ends)
for inbox = 0, (#KEYS - 8) / 5 - 1 do
  local channel, other = ARGV[2 * inbox + 14], ARGV[2 * inbox + 15]
  deliver(inboxes[inbox], ARGV[6], ARGV[8], age, ARGV[4], now, time, other, payload, channel)
  meet(KEYS[5 * inbox + 12], KEYS[5 * inbox + 13], other, time, now - age, left)
end

return { offset, epoch, time, 0 }
