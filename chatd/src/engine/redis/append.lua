-- Puts messages into their logs, tells the inboxes of pairs, and publishes them, or finds of each that it was there
-- before, that its id belongs to another message, or that its sender may not send it. What is wrong with one changes
-- nothing for the others. Begins with log.lua.
--
-- KEYS  for each message: log   ids its sender sent in this, the previous and the next period (the clock of another node
--       may be ahead)   what the sender has read
--       group: group, members, groups of the sender
--       pair: users the recipient blocks   then per inbox: inbox, pairs and reads of its owner
-- ARGV  1 now ms   2 repeat window ms   3 the period ends in ms   4 to 9 see rules_from
--       then for each message: 'world', 'group' or the number of its inboxes   msgId, or '' when no repeat can come
--       16 digits of its fingerprint   epoch for a new history   sender   conversation as the sender names it   body
--       world and group: channel; for each inbox: channel, other user
-- Answer: for each message offset, epoch, time, 1 for a repeat or 0; when refused: 0, why, 0, 0; when the store failed:
--         0, what it said, 0, 2

local now, window, rules = tonumber(ARGV[1]), tonumber(ARGV[2]), rules_from(4)
-- Clocks that are further apart find a repeat only on one side of the turn.
local ends = tonumber(ARGV[3])
local has_begun, will_end = window - ends < 60 * 60 * 1000, ends < 60 * 60 * 1000

-- The answer to a repeat, by what is kept of its id.
local function repeated(kept, at, from, kind)
  local offset, epoch, time, fingerprint = string.match(kept, '^(%d+)\n([^\n]+)\n(%d+)\n?(%x*)$')
  if now - tonumber(time) >= window then
    return nil
  end
  -- What earlier versions of chatd kept has none, or more of it.
  if fingerprint ~= '' and string.sub(fingerprint, 1, 16) ~= ARGV[from + 2] then
    return 0, 'used', 0, 0
  end
  -- A group of this id that was founded since is another one, and has not got the message.
  local founded = kind == 'group' and redis.call('HGET', KEYS[at + 5], 'epoch')
  if founded and born(epoch) ~= born(founded) and born(epoch) ~= born(end_of(KEYS[at]) or '') then
    return 0, 'used', 0, 0
  end
  return tonumber(offset), epoch, tonumber(time), 1
end

-- What is kept of an id, if anything; and what the ids of this period say of those of the one before: '0' when there were
-- none long after the turn, nothing when these have not begun.
local function kept_of(at, msg_id)
  local known = redis.call('HMGET', KEYS[at + 1], msg_id, '')
  local kept, before = known[1], known[2]
  if not kept and (before ~= '0' or has_begun) then
    kept = redis.call('HGET', KEYS[at + 2], msg_id)
  end
  if not kept and will_end then
    kept = redis.call('HGET', KEYS[at + 3], msg_id)
  end
  return kept, before
end

-- Keeps the id with its receipt. Where it is the first of its period, what is kept of the period gets its end, and what
-- the sender has read keeps none, unless it must have one.
local function keep(at, msg_id, before, receipt)
  if before then
    redis.call('HSET', KEYS[at + 1], msg_id, receipt)
    return
  end
  -- Just after the turn another clock may still write into the period before.
  redis.call('HSET', KEYS[at + 1], msg_id, receipt, '', has_begun and 1 or redis.call('EXISTS', KEYS[at + 2]))
  -- Asked for until the end of the next period.
  redis.call('PEXPIRE', KEYS[at + 1], 3 * window)
  if rules.age == 0 then
    redis.call('PERSIST', KEYS[at + 4])
  end
end

-- Why the sender may not send this, if they may not.
local function refused(at, from, kind)
  local sender = ARGV[from + 4]
  if kind == 'group' then
    local incarnation = redis.call('HGET', KEYS[at + 5], 'epoch')
    if not incarnation then
      return 'no such group'
    end
    -- Whoever lost the list of their groups is served none: they are told, and join anew.
    local listed = redis.call('HGET', KEYS[at + 7], string.sub(ARGV[from + 5], #'group:' + 1))
    if not listed or string.match(listed, '^[^\n]*') ~= incarnation
      or not redis.call('ZSCORE', KEYS[at + 6], sender) then
      return 'not a member'
    end
  elseif kind ~= 'world' and redis.call('SISMEMBER', KEYS[at + 5], sender) == 1 then
    return 'blocked'
  end
end

local function append_one(at, from, kind)
  local msg_id, fingerprint, fresh, field = ARGV[from + 1], ARGV[from + 2], ARGV[from + 3], ARGV[from + 5]
  local before
  if msg_id ~= '' then
    local kept
    kept, before = kept_of(at, msg_id)
    if kept then
      local offset, epoch, time, repeats = repeated(kept, at, from, kind)
      if offset then
        return offset, epoch, time, repeats
      end
    end
  end
  local why = refused(at, from, kind)
  if why then
    return 0, why, 0, 0
  end
  local log, reads = KEYS[at], KEYS[at + 4]
  local read = redis.call('HGET', reads, field)
  local offset, epoch, time, payload
  if kind == 'world' or kind == 'group' then
    offset, epoch, time, payload = append(log, rules.kept, rules.age, fresh, now, 'M', ARGV[from + 6])
    publish(ARGV[from + 7], payload)
  else
    offset, epoch, time = say_to_pair(log, at + 6, from + 7, tonumber(kind), rules, fresh, now, ARGV[from + 6])
  end
  read_own(reads, field, read, epoch, offset, rules.age)
  if msg_id ~= '' then
    keep(at, msg_id, before, string.format('%d\n%s\n%d\n%s', offset, epoch, time, fingerprint))
  end
  return offset, epoch, time, 0
end

local answers, at, from = {}, 1, 10
while from <= #ARGV do
  local kind = ARGV[from]
  local done, offset, epoch, time, repeats = pcall(append_one, at, from, kind)
  if not done then
    epoch = type(offset) == 'table' and offset.err or tostring(offset)
    offset, time, repeats = 0, 0, 2
  end
  local n = #answers
  answers[n + 1], answers[n + 2], answers[n + 3], answers[n + 4] = offset, epoch, time, repeats
  if kind == 'world' then
    at, from = at + 5, from + 8
  elseif kind == 'group' then
    at, from = at + 8, from + 8
  else
    at, from = at + 6 + 3 * tonumber(kind), from + 7 + 2 * tonumber(kind)
  end
end
return answers
