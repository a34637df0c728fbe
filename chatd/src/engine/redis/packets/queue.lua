-- What the scripts that queue a settlement begin with.

-- Each part of the settlement is a field of the entry.
local function queue(outbox, app, packet, kind, user, amount, time_ms)
  redis.call('XADD', outbox, '*', 'app', app, 'packet', packet, 'kind', kind, 'user', user, 'amount', amount,
    'time_ms', time_ms)
end
