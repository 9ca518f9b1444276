-- What every script begins with: the keys of a lock, the time, and how keys are given one.
--
-- The keys of one lock, always six and in this order, all in one slot:
--   lock     string  the exclusive holder's owner, with the lease as its expiry; a foreign SET NX is respected
--   shared   zset    the shared holders: owner -> when its lease ends, in ms (inf: never)
--   queue    zset    the waiting claims, '<x | s[limit]> <client> <owner>' -> ticket, in microseconds
--   clients  hash    client -> until when it counts as alive, in ms; one field per client that waits here
--   details  hash    limit -> what the shared claims agreed on ('' for none); x -> '<fence> <meta>' of the exclusive
--                    holder if it has a meta; s:<owner> -> '<fence> <meta>' of a shared holder; w:<owner> -> a
--                    waiter's meta; o:<owner> -> '<client> <until, in ms> ' of each client that watches this owner
--   fence    string  '<last fence> <whom it was granted to>'
--
-- Time is the server's alone. Whatever a script may have to do under memory pressure starts with a command that Redis
-- never refuses for it (a removal, an expiry): from then on the rest of that script is not refused either.

local IDLE_MS = 60000 -- how long what only waiters or later fences need is kept after it was last touched

local time = redis.call('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now = math.floor(now_us / 1000)

-- Lua's tostring would round a number of this size.
local function digits(number)
  return string.format('%.0f', number)
end

-- Lets `key` live for `ms` more; nil: for ever.
local function expire(key, ms)
  if ms == nil then
    redis.call('PERSIST', key)
  else
    redis.call('PEXPIRE', key, digits(ms))
  end
end

local function put(key, value, ms)
  if ms == nil then
    redis.call('SET', key, value)
  else
    redis.call('SET', key, value, 'PX', digits(ms))
  end
end

local function after_lease(ttl)
  return ttl and ttl + IDLE_MS
end

-- The last fence and its owner.
local function last_fence(key)
  return string.match(redis.call('GET', key) or '0 ', '^(%d+) (.*)$')
end

local function next_fence(key)
  return math.max(tonumber((last_fence(key))) + 1, now_us)
end

-- Of a lock without lease and waiters only the last fence is kept, and that for a while.
local function let_fence_expire(key)
  if redis.call('PTTL', key) == -1 then redis.call('PEXPIRE', key, IDLE_MS) end
end
