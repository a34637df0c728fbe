-- What every script that touches a log or an inbox begins with.
--
-- A log is a list, oldest entry first and without holes; its newest entry says how the log stands (codec.rs):
--   kind LF offset LF epoch LF time LF state LF the rest
--   state: until when the lists of a pair's users have it, Unix ms, with 'e' when all of it has an end; or nothing. Then,
--   when the log has another epoch than its newest entry by now, a space and that epoch
-- An inbox is a list of places of messages, oldest first and without holes:
--   number LF epoch LF time LF 'h' when somebody listened or 'u', then the epoch by now if it is another LF
--   offset in the log of the pair LF other user
--
-- A script that is refused halfway is not undone. So whatever may hold something else than it should is read before the
-- first write, which is also where Redis looks for memory.

local HOUR = 60 * 60 * 1000

-- In a cluster a channel has a slot, and its name says so (keys.rs). The channels of one call are of one kind.
local how
local function publish(channel, payload)
  how = how or (string.find(channel, '^{[%w._:-]+}:sbus:') and 'SPUBLISH' or 'PUBLISH')
  return redis.call(how, channel, payload)
end

-- Six digits that tell one life of Redis from the next: another process, or another master. Where INFO is not permitted
-- all lives are one.
local function life()
  local function read(section, field)
    local info = redis.pcall('INFO', section)
    return type(info) == 'string' and string.match(info, field .. ':(%x+)') or ''
  end
  return string.sub(redis.sha1hex(read('server', 'run_id') .. read('replication', 'master_replid')), 1, 6)
end

-- Epoch, number and time of the newest entry of a log or an inbox, what comes before the epoch by now, and where the
-- next line begins; nothing when there is no entry.
local function end_of(list)
  local newest = redis.call('LINDEX', list, -1)
  if not newest then
    return nil
  end
  local number, epoch, time, until_or_heard, by_now, rest =
    string.match(newest, '^%a?\n?(%d+)\n([^\n]+)\n(%d+)\n([%dehu]*) ?([^\n]*)\n()')
  if not number then
    error('ERR not an entry of chatd: ' .. list)
  end
  if by_now ~= '' then
    epoch = by_now
  end
  return epoch, tonumber(number), tonumber(time), until_or_heard, by_now, newest, rest
end

-- The epoch that follows another one of the same history, with 16 digits of its own.
local function after(epoch, digits)
  local history, generation = string.match(epoch, '^([^.]*)%.?(%d*)')
  return string.format('%s.%d.%s', history, (tonumber(generation) or 0) + 1, digits)
end

-- Begins a new epoch in a list that lost its end: `chance` are ten digits of its name, which is made as in epoch.rs; the
-- other six name the life in which it began.
local function fork(list, chance)
  local epoch, _, _, before, by_now, newest, rest = end_of(list)
  local state = string.format('%s %s\n', before, after(epoch, chance .. life()))
  local head = string.sub(newest, 1, rest - #by_now - 1 - 1 - #before - (by_now ~= '' and 1 or 0))
  redis.call('LSET', list, -1, head .. state .. string.sub(newest, rest))
end

-- Takes out what was written before `since`. Times rise with offsets, so a search finds where that ends. The newest
-- entry stays as the end of the log, without its content.
local function expire(log, since)
  local function old(index)
    local time = string.match(redis.call('LINDEX', log, index) or '', '^%a\n%d+\n[^\n]*\n(%d+)\n')
    return time and tonumber(time) < since
  end
  local length = redis.call('LLEN', log)
  if not old(0) or (length == 1 and string.sub(redis.call('LINDEX', log, 0), 1, 1) == 'H') then
    return
  end
  local last_old, kept = 0, length
  while kept - last_old > 1 do
    local middle = math.floor((last_old + kept) / 2)
    if old(middle) then
      last_old = middle
    else
      kept = middle
    end
  end
  if kept < length then
    redis.call('LTRIM', log, kept, -1)
    return
  end
  local newest = redis.call('LINDEX', log, -1)
  redis.call('LSET', log, -1, 'H' .. string.match(newest, '^%a(\n%d+\n[^\n]*\n%d+\n[^\n]*\n)'))
  redis.call('LTRIM', log, -1, -1)
end

-- Appends an entry; with an `age` in ms, older ones go. A log that has nothing begins with the epoch `fresh`, whose last
-- six digits name the life of Redis at the other end of the connection; with these begins the epoch that follows one of
-- another life. With `ahead`, in ms, it is one of a pair, and `look_at_lists` is called before these are to be changed. Answers offset, epoch and time of the entry, the entry itself, and until when the
-- lists of the pair's users are to have it, if they have not.
local function append(log, kept, age, fresh, now, kind, body, ahead, look_at_lists)
  local epoch, offset, last, listed = end_of(log)
  if not epoch then
    epoch, offset, last, listed = fresh, 0, 0, ''
  elseif string.sub(epoch, -6) ~= string.sub(fresh, -6) then
    -- Begun in another life of Redis, at whose end it may have lost its own: the numbers that come now may have been seen
    -- before. Each entry has the epoch in which it was written, so who saw one that stands there still has lost nothing.
    epoch = after(epoch, fresh)
  end
  offset = offset + 1
  local time, state, lists = math.max(now, last), '', nil
  if ahead then
    local known, ends = string.match(listed, '^(%d*)(e?)')
    if known == '' or time > tonumber(known) or (ends == 'e') ~= (age > 0) then
      look_at_lists()
      lists = time + ahead
      listed = string.format(age > 0 and '%de' or '%d', lists)
    end
    state = listed
  end
  local payload = string.format('%s\n%d\n%s\n%d\n%s\n', kind, offset, epoch, time, state) .. body
  local length = redis.call('RPUSH', log, payload)
  -- Some more than are to stay, so that this is done once in a while.
  if length > kept + math.min(kept, 100) then
    redis.call('LTRIM', log, -kept, -1)
  end
  if age > 0 then
    expire(log, now - age)
  end
  return offset, epoch, time, payload, lists
end

-- What a history began with: the part of an epoch that no fork changes.
local function born(epoch)
  return string.match(epoch, '^[^.]*')
end

-- Writes how far a user has read. With an `age` in ms what was read is gone after that, and so is this.
local function mark(reads, field, epoch, offset, age)
  redis.call('HSET', reads, field, string.format('%s\n%d', born(epoch), offset))
  if age > 0 then
    redis.call('PEXPIRE', reads, age)
  else
    redis.call('PERSIST', reads)
  end
end

-- Who sends has read their message, if they had read everything before it; `read` is what was written of that before.
local function read_own(reads, field, read, epoch, offset, age)
  local history = born(epoch)
  if offset == 1 or read == string.format('%s\n%d', history, offset - 1) then
    redis.call('HSET', reads, field, string.format('%s\n%d', history, offset))
    if age > 0 then
      redis.call('PEXPIRE', reads, age)
    end
  end
end

-- How an inbox stands, before anything is written.
local function look(inbox, fresh)
  local epoch, number, time, heard = end_of(inbox)
  return { key = inbox, epoch = epoch or fresh, number = number or 0, time = time or 0, heard = heard or '' }
end

-- Tells an inbox that was looked at of a message, and its channel. Who was not heard of for `unheard` ms is served by no
-- node, or its node has lost the link for longer than is made up for.
local function deliver(inbox, kept, idle, unheard, time, other, offset, payload, channel)
  local number, epoch = inbox.number + 1, inbox.epoch
  local line = string.format('%d\n%s\n%d\n', number, epoch, time)
  local heard = publish(channel, 'I\n' .. line .. other .. '\n' .. payload) > 0 and 'h' or 'u'
  local length = redis.call('RPUSH', inbox.key, string.format('%s%s\n%d\n%s', line, heard, offset, other))
  if length > kept + 100 then
    redis.call('LTRIM', inbox.key, -kept, -1)
  end
  -- An hour more than it has to stay is enough for all of an hour.
  if inbox.heard ~= heard or math.floor(time / HOUR) ~= math.floor(inbox.time / HOUR) then
    redis.call('PEXPIRE', inbox.key, (heard == 'h' and idle or unheard) + HOUR)
  end
end

-- Notes that a user has a conversation with another until `lists`. Those that ended before `since` go, a few at a time,
-- with how far they were read; `left` is how long the newest stays, ms, or nothing.
local function meet(pairs_of, reads, other, lists, since, left)
  redis.call('ZADD', pairs_of, string.format('%d', lists), other)
  if not left then
    -- Another pair, or an earlier setting, may have given them an end.
    redis.call('PERSIST', pairs_of)
    redis.call('PERSIST', reads)
    return
  end
  local ended = redis.call('ZRANGEBYSCORE', pairs_of, '-inf', string.format('(%d', since), 'LIMIT', 0, 8)
  for _, name in ipairs(ended) do
    redis.call('HDEL', reads, 'user:' .. name)
    redis.call('ZREM', pairs_of, name)
  end
  redis.call('PEXPIRE', pairs_of, left)
end

-- What is kept of a pair ends with its newest entry, which stays `left` ms; without, nothing of it ends.
local function set_end(log, left)
  if left then
    redis.call('PEXPIRE', log, left)
  else
    redis.call('PERSIST', log)
  end
end

-- Appends a message of a pair and tells its inboxes of it. `at` and `from` are where the keys and the arguments of the
-- first of `count` inboxes stand: inbox, pairs and reads of its owner; channel and other user. Answers what append does.
local function say_to_pair(log, at, from, count, rules, fresh, now, body)
  local inboxes, age = {}, rules.age
  for i = 0, count - 1 do
    inboxes[i] = look(KEYS[at + 3 * i], fresh)
  end
  local function look_at_lists()
    for i = 0, count - 1 do
      redis.call('ZCARD', KEYS[at + 3 * i + 1])
      redis.call('HLEN', KEYS[at + 3 * i + 2])
    end
  end
  local offset, epoch, time, payload, lists =
    append(log, rules.kept, age, fresh, now, 'M', body, rules.ahead, look_at_lists)
  if lists then
    local left = age > 0 and age + lists - now
    set_end(log, left)
    for i = 0, count - 1 do
      meet(KEYS[at + 3 * i + 1], KEYS[at + 3 * i + 2], ARGV[from + 2 * i + 1], lists, now - age, left)
    end
  end
  for i = 0, count - 1 do
    local channel, other = ARGV[from + 2 * i], ARGV[from + 2 * i + 1]
    deliver(inboxes[i], rules.inbox, rules.idle, rules.unheard, time, other, offset, payload, channel)
  end
  return offset, epoch, time
end

-- What the node keeps of logs, from the argument `at` on: messages kept per log, how long ms or 0, places kept per inbox,
-- idle life of an inbox ms, the same while nobody listens ms, how far ahead a pair is put into lists ms.
local function rules_from(at)
  local function read(index) return tonumber(ARGV[at + index]) end
  return { kept = read(0), age = read(1), inbox = read(2), idle = read(3), unheard = read(4), ahead = read(5) }
end
