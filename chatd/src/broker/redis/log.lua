-- What every script that writes into a log, or takes something out of it, begins with.

-- What tells one life of Redis from the next: another process, or another master. Empty where INFO is not permitted.
local function life()
  local function read(section, field)
    local info = redis.pcall('INFO', section)
    return type(info) == 'string' and string.match(info, field .. ':(%x+)') or ''
  end
  return read('server', 'run_id') .. read('replication', 'master_replid')
end

-- Begins a new epoch in a log whose `epoch` lost what came after `number`. Who had read no further missed nothing.
local function fork(head, epoch, number, fresh)
  -- What was read before stays read.
  redis.call('HSETNX', head, 'born', epoch)
  redis.call('HSET', head, 'epoch', fresh, 'life', life(), 'past', epoch .. '\n' .. number)
end

-- Epoch, last number and last time of a stream, the epoch its history began with, and whether it has stubs. Without a
-- head nothing is known about what came before: the epoch `fresh` begins, above the numbers still in the stream.
local function head_of(stream, head, fresh)
  local known = redis.call('HMGET', head, 'epoch', 'number', 'time', 'born', 'stubs')
  if known[1] then
    return known[1], tonumber(known[2]), tonumber(known[3]), known[4] or known[1], known[5]
  end
  local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  return fresh, last and tonumber(string.match(last[1], '^%d+')) or 0, 0, fresh, false
end

local function put(stream, head, kept, epoch, number, time, payload)
  redis.call('XADD', stream, 'MAXLEN', '~', kept, string.format('%d-0', number), 'm', payload)
  redis.call('HSET', head, 'epoch', epoch, 'number', string.format('%d', number), 'time', string.format('%d', time))
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
    return tonumber(string.match(payload, '^%a\n%d+\n[^\n]*\n(%d+)\n')) < since
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
-- began with, and the payload.
local function append(log, head, stubs, kept, age, fresh, now, kind, body)
  local epoch, offset, last, born, recalled = head_of(log, head, fresh)
  if offset > 0 and redis.call('EXISTS', log) == 0 then
    -- The entries are gone: what follows is another history.
    redis.call('HDEL', head, 'born', 'past', 'stubs')
    redis.call('DEL', stubs)
    epoch, offset, born, recalled = fresh, 0, fresh, false
  end
  offset = offset + 1
  local time = math.max(now, last)
  local payload = string.format('%s\n%d\n%s\n%d\n', kind, offset, epoch, time) .. body
  put(log, head, kept, epoch, offset, time, payload)
  if epoch == fresh then
    redis.call('HSET', head, 'life', life())
  end
  if age > 0 then
    expire(log, stubs, now - age)
  end
  if recalled then
    trim(log, head, stubs, kept, offset)
  end
  return offset, epoch, time, born, payload
end

-- Who sends has read his message, if he had read everything before it.
local function read_own(reads, field, born, offset)
  if offset == 1 or redis.call('HGET', reads, field) == string.format('%s\n%d', born, offset - 1) then
    redis.call('HSET', reads, field, string.format('%s\n%d', born, offset))
  end
end

-- Puts a copy of an entry into an inbox, which expires after `idle` ms, and onto its channel.
local function deliver(stream, head, stubs, kept, idle, age, fresh, now, time, other, payload, channel)
  local box, number, _, _, recalled = head_of(stream, head, fresh)
  local copy = string.format('I\n%d\n%s\n%d\n%s\n', number + 1, box, time, other) .. payload
  -- The head stays when the stream expires, so that numbers go on and a quiet inbox never looks like a lost one.
  put(stream, head, kept, box, number + 1, time, copy)
  redis.call('PEXPIRE', stream, idle)
  if age > 0 then
    expire(stream, stubs, now - age)
  end
  if recalled then
    trim(stream, head, stubs, kept, number + 1)
    redis.call('PEXPIRE', stubs, idle)
  end
  redis.call('PUBLISH', channel, copy)
end
