-- What every script that writes into a log, or takes something out of it, begins with.
--
-- A script that is refused halfway is not undone. So whatever may hold something else than it should is read before the
-- first write, which is also where Redis looks for memory.

-- How long an inbox that nobody listens to stays, ms: a node that serves its user has mostly lost the link for less.
local UNHEARD = 60 * 60 * 1000

-- What tells one life of Redis from the next: another process, or another master. Empty where INFO is not permitted.
local function life()
  local function read(section, field)
    local info = redis.pcall('INFO', section)
    return type(info) == 'string' and string.match(info, field .. ':(%x+)') or ''
  end
  return read('server', 'run_id') .. read('replication', 'master_replid')
end

-- Begins a new epoch in a log whose `epoch` lost what came after `number`. Who had read no further missed nothing. Its
-- name is made as in epoch.rs, with `fresh` for the chance.
local function fork(head, epoch, number, fresh)
  local history, generation = string.match(epoch, '^([^.]*)%.?(%d*)')
  fresh = string.format('%s.%d.%s', history, (tonumber(generation) or 0) + 1, fresh)
  -- What was read before stays read.
  redis.call('HSETNX', head, 'born', epoch)
  redis.call('HSET', head, 'epoch', fresh, 'life', life(), 'past', epoch .. '\n' .. number)
end

-- Number of the newest entry that a stream ever had; it may have been taken out since.
local function last_number(stream)
  if redis.call('EXISTS', stream) == 0 then
    return 0
  end
  local about = redis.call('XINFO', 'STREAM', stream)
  for i = 1, #about, 2 do
    if about[i] == 'last-generated-id' then
      return tonumber(string.match(about[i + 1], '^%d+'))
    end
  end
end

-- Epoch, last number and last time of a stream, the epoch its history began with, whether it has stubs, and whether it
-- ends by itself. Without a head nothing is known about what came before: the epoch `fresh` begins, above all numbers
-- the stream ever had.
local function head_of(stream, head, fresh)
  local known = redis.call('HMGET', head, 'epoch', 'number', 'time', 'born', 'stubs', 'ends')
  if known[1] then
    return known[1], tonumber(known[2]), tonumber(known[3]), known[4] or known[1], known[5], known[6]
  end
  return fresh, last_number(stream), 0, fresh, false, false
end

-- Adds an entry after `number`, which `write` makes of epoch and number. Where the stream went further than its head,
-- which was set back, the epoch `fresh` begins above it. Answers epoch, number and the entry.
local function put(stream, head, kept, epoch, number, fresh, time, write)
  number = number + 1
  local payload = write(epoch, number)
  local function add(by)
    return by('XADD', stream, 'MAXLEN', '~', kept, string.format('%d-0', number), 'm', payload)
  end
  local added = add(redis.pcall)
  if type(added) == 'table' then
    if string.find(added.err, 'equal or smaller', 1, true) then
      epoch, number = fresh, last_number(stream) + 1
      payload = write(epoch, number)
      redis.call('HDEL', head, 'born', 'past')
    end
    -- Whatever else it was, it is met again and ends the script.
    add(redis.call)
  end
  redis.call('HSET', head, 'epoch', epoch, 'number', string.format('%d', number), 'time', string.format('%d', time))
  return epoch, number, payload
end

-- Stubs go with the entries around them: those below the first entry and below the part that must stay.
local function trim(stream, head, stubs, kept, number)
  local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  local from = math.min(tonumber(string.match(first[1], '^%d+')), number - tonumber(kept) + 1)
  redis.call('ZREMRANGEBYSCORE', stubs, '-inf', string.format('(%d', from))
  if redis.call('EXISTS', stubs) == 0 then
    redis.call('HDEL', head, 'stubs')
  end
end

-- Takes out what was written before `since`. Times rise with numbers, so a search finds where that ends.
local function expire(stream, stubs, since)
  local function is_old(payload)
    local time = string.match(payload, '^%a\n%d+\n[^\n]*\n(%d+)\n')
    return time and tonumber(time) < since
  end
  -- Number of the first entry from `from` on, if it is old.
  local function old(from)
    local found = redis.call('XRANGE', stream, from, '+', 'COUNT', 1)[1]
    return found and is_old(found[2][2]) and tonumber(string.match(found[1], '^%d+'))
  end
  local last_old, step = old('-'), 1
  if last_old then
    local function look(number)
      return old(string.format('%d', number))
    end
    local further = look(last_old + step)
    while further do
      last_old, step = further, 2 * step
      further = look(last_old + step)
    end
    local kept = last_old + step
    while kept - last_old > 1 do
      local middle = math.floor((last_old + kept) / 2)
      further = look(middle)
      if further then
        last_old = further
      else
        kept = middle
      end
    end
    redis.call('XTRIM', stream, 'MINID', string.format('%d', kept))
  end
  local stub = redis.call('ZRANGE', stubs, 0, 0)[1]
  while stub and is_old(stub) do
    redis.call('ZREM', stubs, stub)
    stub = redis.call('ZRANGE', stubs, 0, 0)[1]
  end
end

-- Appends an entry; with an `age` in ms, older ones go. Answers its offset, epoch and time, the epoch its history
-- began with, the payload, and whether the log ended by itself before this.
local function append(log, head, stubs, kept, age, fresh, now, kind, body)
  local epoch, offset, last, born, recalled, ends = head_of(log, head, fresh)
  if recalled or age > 0 then
    redis.call('ZCARD', stubs)
  end
  if offset > 0 and redis.call('EXISTS', log) == 0 then
    -- The entries are gone: what follows is another history.
    redis.call('HDEL', head, 'born', 'past', 'stubs')
    redis.call('DEL', stubs)
    epoch, offset, born, recalled = fresh, 0, fresh, false
  end
  local time, payload = math.max(now, last), nil
  epoch, offset, payload = put(log, head, kept, epoch, offset, fresh, time, function(epoch, offset)
    return string.format('%s\n%d\n%s\n%d\n', kind, offset, epoch, time) .. body
  end)
  if epoch == fresh then
    born = fresh
    redis.call('HSET', head, 'life', life())
  end
  if age > 0 then
    expire(log, stubs, now - age)
  end
  if recalled then
    trim(log, head, stubs, kept, offset)
  end
  return offset, epoch, time, born, payload, ends
end

-- Writes how far a user has read. With an `age` in ms what was read is gone after that, and so is this.
local function mark(reads, field, born, offset, age)
  redis.call('HSET', reads, field, string.format('%s\n%d', born, offset))
  if age > 0 then
    redis.call('PEXPIRE', reads, age)
  else
    redis.call('PERSIST', reads)
  end
end

-- Who sends has read their message, if they had read everything before it; `read` is what was written of that before.
local function read_own(reads, field, read, born, offset, age)
  if offset == 1 or read == string.format('%s\n%d', born, offset - 1) then
    mark(reads, field, born, offset, age)
  end
end

-- What is kept of a pair ends with its newest entry, which stays `left` ms; without, nothing of it ends. `ends` tells
-- whether it did before.
local function set_end(log, head, stubs, left, ends)
  for _, key in ipairs({ log, head, stubs }) do
    if left then
      redis.call('PEXPIRE', key, left)
    elseif ends then
      redis.call('PERSIST', key)
    end
  end
  if left and not ends then
    redis.call('HSET', head, 'ends', 1)
  elseif ends and not left then
    redis.call('HDEL', head, 'ends')
  end
end

-- Notes that a user has a conversation with another whose newest entry is of `time`. Those that ended before `since`
-- go, a few at a time, with how far they were read.
local function meet(pairs_of, reads, other, time, since, left)
  redis.call('ZADD', pairs_of, string.format('%d', time), other)
  if left then
    local ended = redis.call('ZRANGEBYSCORE', pairs_of, '-inf', string.format('(%d', since), 'LIMIT', 0, 8)
    for _, name in ipairs(ended) do
      redis.call('HDEL', reads, 'user:' .. name)
      redis.call('ZREM', pairs_of, name)
    end
    redis.call('PEXPIRE', pairs_of, left)
  else
    -- Another pair may have given it an end.
    redis.call('PERSIST', pairs_of)
  end
end

-- How an inbox stands, before anything is written.
local function look(stream, head, stubs, fresh)
  redis.call('XLEN', stream)
  redis.call('ZCARD', stubs)
  local epoch, number, _, _, recalled = head_of(stream, head, fresh)
  return { stream = stream, head = head, stubs = stubs, epoch = epoch, number = number, recalled = recalled }
end

-- Puts a copy of an entry into an inbox that was looked at, and onto its channel. Its stream goes after `idle` ms without
-- another. The head stays four times as long, so that a quiet inbox does not look like a lost one.
local function deliver(inbox, kept, idle, age, fresh, now, time, other, payload, channel)
  local stream, head, stubs = inbox.stream, inbox.head, inbox.stubs
  local _, number, copy = put(stream, head, kept, inbox.epoch, inbox.number, fresh, time, function(epoch, number)
    return string.format('I\n%d\n%s\n%d\n%s\n', number, epoch, time, other) .. payload
  end)
  if age > 0 then
    expire(stream, stubs, now - age)
  end
  if inbox.recalled then
    trim(stream, head, stubs, kept, number)
    redis.call('PEXPIRE', stubs, idle)
  end
  local heard = redis.call('PUBLISH', channel, copy) > 0
  redis.call('PEXPIRE', stream, heard and idle or math.min(idle, UNHEARD))
  redis.call('PEXPIRE', head, 4 * idle)
end
