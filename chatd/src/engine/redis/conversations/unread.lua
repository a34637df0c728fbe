-- Unread messages of a log; scripts that tell of them begin with this.

-- Messages of others behind `after`, and 1 when there may be more: at most 99 are counted, and 500 entries looked at.
-- `own` is how the sender's name stands in a message of one's own. Recalled entries are no longer in the stream.
local function unread(log, after, last, since, own)
  local count, looked = 0, 0
  while after < last do
    if looked >= 500 then
      return count, 1
    end
    local entries = redis.call('XRANGE', log, string.format('%d', after + 1), '+', 'COUNT', 100)
    for _, entry in ipairs(entries) do
      local payload = entry[2][2]
      -- Behind the lines come the members, in which a quote within a text is never bare.
      local time, members = string.match(payload, '^M\n%d+\n[^\n]*\n(%d+)\n[^\n]*\n[^\n]*\n()')
      if time and tonumber(time) >= since and not string.find(payload, own, members, true)
        and not string.find(payload, '"type":"recall"', members, true) then
        if count == 99 then
          return count, 1
        end
        count = count + 1
      end
    end
    if #entries < 100 then
      break
    end
    looked = looked + 100
    after = tonumber(string.match(entries[100][1], '^%d+'))
  end
  return count, 0
end

-- How far a history that began with the epoch `born` and ends at `last` was read.
local function read_of(reads, field, born, last)
  local known, offset = string.match(redis.call('HGET', reads, field) or '', '^([^\n]*)\n(%d+)$')
  return known == born and math.min(tonumber(offset), last) or 0
end

-- The newest entry of a log that ends at `last`, unless it is gone or older than `since`. What is recalled is never the
-- newest: what tells of that is.
local function newest(log, last, since)
  local entry = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  if not entry or tonumber(string.match(entry[1], '^%d+')) ~= last then
    return false
  end
  local time = string.match(entry[2][2], '^%a\n%d+\n[^\n]*\n(%d+)\n')
  return time and tonumber(time) >= since and entry[2][2]
end
