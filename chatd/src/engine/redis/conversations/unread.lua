-- Unread messages of a log; scripts that tell of them begin with log.lua and this.

-- Messages of others behind `after`, and 1 when there may be more: at most 99 are counted, and 500 entries looked at.
-- `own` is how the sender's name stands in a message of one's own.
local function unread(log, after, last, since, own)
  local count, looked = 0, 0
  after = math.max(after, last - redis.call('LLEN', log))
  while after < last do
    if looked >= 500 then
      return count, 1
    end
    local to = math.min(after + 100, last)
    for _, entry in ipairs(redis.call('LRANGE', log, after - last, to - last - 1)) do
      -- Behind the lines come the members, in which a quote within a text is never bare. What was recalled is of a type
      -- that begins like that of what tells of it.
      local time, members = string.match(entry, '^M\n%d+\n[^\n]*\n(%d+)\n[^\n]*\n[^\n]*\n[^\n]*\n()')
      if time and tonumber(time) >= since and not string.find(entry, own, members, true)
        and not string.find(entry, '"type":"recall', members, true) then
        if count == 99 then
          return count, 1
        end
        count = count + 1
      end
    end
    looked, after = looked + 100, to
  end
  return count, 0
end

-- How far a history of this epoch that ends at `last` was read.
local function read_of(reads, field, epoch, last)
  local known, offset = string.match(redis.call('HGET', reads, field) or '', '^([^\n]*)\n(%d+)$')
  return known == born(epoch) and math.min(tonumber(offset), last) or 0
end

-- The newest entry of a log, unless its content is gone or it is older than `since`.
local function shown(newest, time, since)
  return time >= since and string.sub(newest, 1, 1) ~= 'H' and newest
end
