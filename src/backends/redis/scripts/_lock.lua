-- The steps that scripts are made of, after `_base.lua`. To define them takes longer than most calls have to, so a script
-- that can do without them ends before.

local GRANT_MS = 5000 -- how long a pushed grant stands unconfirmed; longer than a beat
local ALIVE_MS = 12000 -- three beats
local ADVANCE_AT_MOST = 64

local function lock_at(i)
  return {
    lock = KEYS[i],
    shared = KEYS[i + 1],
    queue = KEYS[i + 2],
    clients = KEYS[i + 3],
    details = KEYS[i + 4],
    fence = KEYS[i + 5],
  }
end

-- How long the longest shared lease still runs, in ms: nil for ever, 0 when there is none.
local function longest_shared(l)
  local last = redis.call('ZRANGE', l.shared, 0, 0, 'REV', 'WITHSCORES')
  if #last == 0 then return 0 end
  local ends = tonumber(last[2])
  if ends == math.huge then return nil end
  return math.max(ends - now, 0)
end

local function has_details(l)
  if l.detailed == nil then l.detailed = redis.call('EXISTS', l.details) == 1 end
  return l.detailed
end

local function detail(l, ...)
  redis.call('HSET', l.details, ...)
  l.detailed = true
end

-- The details live as long as any lease, and a while longer for those who wait.
local function keep_details(l)
  if not has_details(l) then return end
  local shared, exclusive = longest_shared(l), redis.call('PTTL', l.lock)
  if shared == nil or exclusive == -1 then
    expire(l.details, nil)
  else
    expire(l.details, after_lease(math.max(shared, exclusive, 0)))
  end
end

local function keep_shared(l)
  local ms = after_lease(longest_shared(l))
  expire(l.fence, ms)
  expire(l.shared, ms)
  keep_details(l)
end

-- Removes the shared holders whose lease has ended.
local function purge(l)
  while true do
    local gone = redis.call('ZRANGE', l.shared, '-inf', now, 'BYSCORE', 'LIMIT', 0, 1000)
    if #gone == 0 then return end
    redis.call('ZREM', l.shared, unpack(gone))
    for i, owner in ipairs(gone) do
      gone[i] = 's:' .. owner
    end
    redis.call('HDEL', l.details, unpack(gone))
  end
end

-- The grant rule, apart from the queue. Shared leases that have ended are purged before.
local function fits(l, mode, limit)
  if mode == 'x' then return redis.call('EXISTS', l.lock, l.shared) == 0 end
  return redis.call('EXISTS', l.lock) == 0 and (limit == nil or redis.call('ZCARD', l.shared) < limit)
end

-- Makes `owner` a holder. `ttl` nil: for ever.
local function hold(l, mode, limit, owner, meta, ttl, fence)
  local details = meta and digits(fence) .. ' ' .. meta or digits(fence)
  put(l.fence, digits(fence) .. ' ' .. owner, after_lease(ttl))
  if mode == 'x' then
    put(l.lock, owner, ttl)
    if meta then detail(l, 'x', details) end
    keep_details(l)
  else
    redis.call('ZADD', l.shared, ttl and digits(now + ttl) or 'inf', owner)
    detail(l, 's:' .. owner, details, 'limit', limit and digits(limit) or '')
    keep_shared(l)
  end
end

-- Starts the ttl of an exclusive lease again, which the caller has seen to be `owner`'s, and answers its fence: '0' when
-- it was not granted here.
local function extend_exclusive(l, owner, has_meta, ttl)
  expire(l.lock, ttl)
  expire(l.fence, after_lease(ttl))
  if has_meta then keep_details(l) end
  local fence, granted_to = last_fence(l.fence)
  return granted_to == owner and fence or '0'
end

-- Starts the ttl of a shared lease again and answers its fence, or nil when `owner` does not hold the lock.
local function extend_shared(l, owner, ttl)
  local ends = redis.call('ZSCORE', l.shared, owner)
  if not ends or tonumber(ends) <= now then return nil end
  redis.call('PERSIST', l.shared)
  redis.call('ZADD', l.shared, ttl and digits(now + ttl) or 'inf', owner)
  keep_shared(l)
  return string.match(redis.call('HGET', l.details, 's:' .. owner) or '0', '^%d+')
end

-- As either of them; nil when `owner` does not hold the lock.
local function extend(l, mode, owner, has_meta, ttl)
  if mode == 's' then return extend_shared(l, owner, ttl) end
  return redis.call('GET', l.lock) == owner and extend_exclusive(l, owner, has_meta, ttl) or nil
end

local function parse_waiting(member)
  local mode, limit, client, owner = string.match(member, '^([xs])(%d*) (%S+) (.*)$')
  return { member = member, mode = mode, limit = tonumber(limit), client = client, owner = owner }
end

-- Takes a claim out of the queue and answers whether it was there, and its meta.
local function leave(l, waiting)
  local left = redis.call('ZREM', l.queue, waiting.member) == 1
  if not has_details(l) then return left, nil end
  local meta = redis.call('HGET', l.details, 'w:' .. waiting.owner)
  if meta then redis.call('HDEL', l.details, 'w:' .. waiting.owner) end
  return left, meta or nil
end

-- Grants what the head of the queue allows and tells each client of its grant: by a push, unless it is told by reply:
-- the owner `asking`, and the claims of `home.client`, which are added to `home` as owner, fence, mode and limit.
-- Answers whether there may be more to do than one call may take.
local function advance(l, push, asking, home)
  for _ = 1, ADVANCE_AT_MOST do
    local head = redis.call('ZRANGE', l.queue, 0, 0)
    if #head == 0 then return false end
    local waiting = parse_waiting(head[1])
    local at_home = home ~= nil and waiting.client == home.client
    local alive = at_home or tonumber(redis.call('HGET', l.clients, waiting.client) or 0) > now
    if alive and not fits(l, waiting.mode, waiting.limit) then return false end
    local _, meta = leave(l, waiting)
    if alive then
      local fence = next_fence(l.fence)
      local told = at_home or waiting.owner == asking
      if at_home then
        for _, part in ipairs({ waiting.owner, digits(fence), waiting.mode, tostring(waiting.limit or '') }) do
          table.insert(home, part)
        end
      elseif not told then
        local grant = cjson.encode({ l.lock, waiting.owner, digits(fence), waiting.mode, waiting.limit or false })
        local receivers = redis.call('PUBLISH', push.channel .. waiting.client, grant)
        -- On a cluster the count is that of one node, and says nothing.
        told = push.cluster or receivers > 0
      end
      if told then
        hold(l, waiting.mode, waiting.limit, waiting.owner, meta, GRANT_MS, fence)
        if waiting.mode == 'x' then return false end
      end
    end
  end
  return redis.call('EXISTS', l.queue) == 1
end

-- Nobody holds the lock and nobody waits: keep only the last fence.
local function forget_if_idle(l)
  if redis.call('EXISTS', l.lock, l.shared, l.queue) > 0 then return false end
  redis.call('DEL', l.clients, l.details)
  l.detailed = false
  let_fence_expire(l.fence)
  return true
end

-- Tells those who watch `owner` that its claim is over.
local function tell_watchers(l, push, owner)
  local watchers = redis.call('HGET', l.details, 'o:' .. owner)
  if not watchers then return end
  redis.call('HDEL', l.details, 'o:' .. owner)
  for client, until_ms in string.gmatch(watchers, '(%S+) (%d+) ') do
    if tonumber(until_ms) > now then
      redis.call('PUBLISH', push.channel .. client, cjson.encode({ l.lock, owner }))
    end
  end
end
