// Made by scripts/embed.js from the files of src/backends/redis; edit those.
export const scripts: Readonly<Record<'acquire' | 'claiming' | 'inspect' | 'release' | 'renew' | 'watch', { readonly sha1: string; readonly source: string }>> = {
  acquire: {
    sha1: '9fc4f3825d0640b35953bd19546497a700292977',
    source: `-- Grants, queues or refuses claims of one client, one after the other. On a cluster: claims of one slot.
--
-- KEYS  the six of each lock
-- ARGV  1 channel prefix  2 '1' on a cluster  3 client, then for each claim its owner and its terms:
--       '<x | s[limit]>,<ttl in ms or nothing: for ever>,<ticket: nothing not to queue, new, or a number>,<m><r>',
--       behind which comes, with m, its meta, and, with r, the owner it is to replace
-- reply for each its fence when it was granted | {'limit', limit or ''} |
--       {'busy', holder or '', ms until a lease ends or '', ticket or '', '1' when it had to be queued again}
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

-- Lets \`key\` live for \`ms\` more; nil: for ever.
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
local push = { channel = ARGV[1], cluster = ARGV[2] == '1' }
local client = ARGV[3]

-- The short way, open to most: the lock is free, and neither waiters nor readers nor anything noted is in the way. \`k\` is
-- the first of its keys.
local function grant_free(k, owner, ttl)
  if redis.call('EXISTS', KEYS[k], KEYS[k + 1], KEYS[k + 2], KEYS[k + 4]) > 0 then return nil end
  local fence = digits(next_fence(KEYS[k + 5]))
  put(KEYS[k + 5], fence .. ' ' .. owner, after_lease(ttl))
  put(KEYS[k], owner, ttl)
  return fence
end

local next_arg = 4
local function argument()
  next_arg = next_arg + 1
  return ARGV[next_arg - 1]
end

-- From the first claim that cannot go the short way on, all take the long one: none is to overtake another.
local replies, claims, first_long = {}, {}, nil
for i = 1, #KEYS / 6 do
  local owner = argument()
  local mode, limit, ttl, ticket, has_meta, has_other = string.match(argument(), '^(.)(%d*),(%d*),(%w*),(m?)(r?)$')
  local meta, replaces = has_meta ~= '' and argument() or nil, has_other ~= '' and argument() or nil
  local short = not first_long and mode == 'x' and not meta
  replies[i] = short and grant_free(6 * i - 5, owner, tonumber(ttl)) or nil
  if not replies[i] then
    first_long = first_long or i
    claims[i] = {
      mode = mode,
      limit_text = limit,
      limit = tonumber(limit),
      owner = owner,
      ttl = tonumber(ttl),
      meta = meta,
      ticket = ticket,
      replaces = replaces,
    }
  end
end
if not first_long then return replies end

-- The steps that scripts are made of, after \`_base.lua\`. To define them takes longer than most calls have to, so a script
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

-- Makes \`owner\` a holder. \`ttl\` nil: for ever.
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

-- Starts the ttl of an exclusive lease again, which the caller has seen to be \`owner\`'s, and answers its fence: '0' when
-- it was not granted here.
local function extend_exclusive(l, owner, has_meta, ttl)
  expire(l.lock, ttl)
  expire(l.fence, after_lease(ttl))
  if has_meta then keep_details(l) end
  local fence, granted_to = last_fence(l.fence)
  return granted_to == owner and fence or '0'
end

-- Starts the ttl of a shared lease again and answers its fence, or nil when \`owner\` does not hold the lock.
local function extend_shared(l, owner, ttl)
  local ends = redis.call('ZSCORE', l.shared, owner)
  if not ends or tonumber(ends) <= now then return nil end
  redis.call('PERSIST', l.shared)
  redis.call('ZADD', l.shared, ttl and digits(now + ttl) or 'inf', owner)
  keep_shared(l)
  return string.match(redis.call('HGET', l.details, 's:' .. owner) or '0', '^%d+')
end

-- As either of them; nil when \`owner\` does not hold the lock.
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
-- the owner \`asking\`, and the claims of \`home.client\`, which are added to \`home\` as owner, fence, mode and limit.
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

-- Tells those who watch \`owner\` that its claim is over.
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
local function grant(l, claim)
  local fence = next_fence(l.fence)
  hold(l, claim.mode, claim.limit, claim.owner, claim.meta, claim.ttl, fence)
  return digits(fence)
end

local function stands_other_limit(l, claim)
  local stands = claim.mode == 's' and redis.call('HGET', l.details, 'limit')
  return stands and stands ~= claim.limit_text and stands or nil
end

-- Puts the claim in the queue, unless it is there, shows its client alive, and answers its ticket.
local function enqueue(l, claim)
  local member = claim.mode .. claim.limit_text .. ' ' .. client .. ' ' .. claim.owner
  local place, requeued = redis.call('ZSCORE', l.queue, member), '0'
  if place then
    place = digits(tonumber(place))
  else
    if claim.ticket == 'new' then
      local last = redis.call('ZRANGE', l.queue, 0, 0, 'REV', 'WITHSCORES')
      place = digits(math.max(now_us, #last > 0 and tonumber(last[2]) + 1 or 0))
    else
      place, requeued = claim.ticket, '1'
    end
    redis.call('ZADD', l.queue, place, member)
    if claim.meta then detail(l, 'w:' .. claim.owner, claim.meta) end
    if claim.mode == 's' then detail(l, 'limit', claim.limit_text) end
  end
  redis.call('HSET', l.clients, client, digits(now + ALIVE_MS))
  redis.call('PEXPIRE', l.clients, IDLE_MS)
  redis.call('PEXPIRE', l.queue, IDLE_MS)
  keep_details(l)
  return place, requeued
end

local function acquire(l, claim)
  local mode, limit, owner, ttl, ticket = claim.mode, claim.limit, claim.owner, claim.ttl, claim.ticket
  local holder = redis.call('GET', l.lock)
  local mine = nil
  if mode == 's' then
    mine = extend_shared(l, owner, ttl)
  elseif holder == owner then
    mine = extend_exclusive(l, owner, claim.meta ~= nil, ttl)
    if mine == '0' then return grant(l, claim) end
  end
  if mine then return mine end

  local more, requeued = false, '0'
  if holder then
    -- While it is held exclusively nothing can be granted, but to who replaces the holder.
    if claim.replaces == holder and mode == 'x' then
      local granted = grant(l, claim)
      tell_watchers(l, push, holder)
      return granted
    end
    local limit_that_stands = stands_other_limit(l, claim)
    if limit_that_stands then return { 'limit', limit_that_stands } end
    if ticket ~= '' then ticket, requeued = enqueue(l, claim) end
  else
    if redis.call('EXISTS', l.shared, l.queue, l.details) == 0 then
      l.detailed = false
      return grant(l, claim)
    end
    purge(l)
    if forget_if_idle(l) then return grant(l, claim) end
    local limit_that_stands = stands_other_limit(l, claim)
    if limit_that_stands then return { 'limit', limit_that_stands } end
    if ticket == '' then more = advance(l, push, nil) end
    if redis.call('EXISTS', l.queue) == 0 and fits(l, mode, limit) then return grant(l, claim) end
    if ticket ~= '' then
      ticket, requeued = enqueue(l, claim)
      more = advance(l, push, owner)
      mine = extend(l, mode, owner, claim.meta ~= nil, ttl)
      if mine then return mine end
    end
    holder = redis.call('GET', l.lock)
  end

  local ends = ''
  if more then
    ends = '0'
  elseif holder then
    local left = redis.call('PTTL', l.lock)
    if left >= 0 then ends = digits(math.max(left, 1)) end
  else
    local first = redis.call('ZRANGE', l.shared, 0, 0, 'WITHSCORES')
    if #first > 0 then
      holder = first[1]
      if tonumber(first[2]) < math.huge then ends = digits(math.max(tonumber(first[2]) - now, 1)) end
    end
  end
  return { 'busy', holder or '', ends, ticket, requeued }
end

for i = first_long, #KEYS / 6 do
  replies[i] = acquire(lock_at(6 * i - 5), claims[i])
end
return replies
`,
  },
  claiming: {
    sha1: 'deb18140a78cb345ab654f2d567852e3e451a2ce',
    source: `-- Claims a lock exclusively, for as long as nobody gives it up, in the same step as a script of somebody else's, whose
-- text stands in place of the line \`-- @body\`. That script answers the id of what it made; the lock is claimed if its
-- owner's name ends with a colon and this id. It is claimed as by a plain SET NX, without a fence and whoever waits or
-- reads: who needs more than to be found here takes the lock over.
--
-- KEYS  those of the other script, then the lock
-- ARGV  those of the other script, then the owner
-- reply what the other script answers | {'held', holder} when the lock is not free: then that script was not run
local lock, owner = KEYS[#KEYS], ARGV[#ARGV]
local holder = redis.call('GET', lock)
-- An owner asks again when the reply was lost.
if holder and holder ~= owner then return { 'held', holder } end

local function body()
-- @body
end

local answer = body()
if type(answer) == 'string' and string.sub(owner, -#answer - 1) == ':' .. answer then
  redis.call('SET', lock, owner)
end
return answer
`,
  },
  inspect: {
    sha1: '737b40b9473898cb18451d23f6cd6271a369b741',
    source: `-- A lock as an operator sees it. Changes nothing.
--
-- KEYS  the six of the lock
-- ARGV  1 how many waiters to show
-- reply {} when nobody holds it or waits for it, else {now in ms, limit or '', how many wait, holders, waiters}
--       holders: for each 'x' or 's', owner, fence, when its lease ends in ms or '', and '<fence> <meta>' or '<fence>'
--       waiters: for each '<x | s[limit]> <client> <owner>', ticket, and {meta} or {}
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

-- Lets \`key\` live for \`ms\` more; nil: for ever.
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
-- The steps that scripts are made of, after \`_base.lua\`. To define them takes longer than most calls have to, so a script
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

-- Makes \`owner\` a holder. \`ttl\` nil: for ever.
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

-- Starts the ttl of an exclusive lease again, which the caller has seen to be \`owner\`'s, and answers its fence: '0' when
-- it was not granted here.
local function extend_exclusive(l, owner, has_meta, ttl)
  expire(l.lock, ttl)
  expire(l.fence, after_lease(ttl))
  if has_meta then keep_details(l) end
  local fence, granted_to = last_fence(l.fence)
  return granted_to == owner and fence or '0'
end

-- Starts the ttl of a shared lease again and answers its fence, or nil when \`owner\` does not hold the lock.
local function extend_shared(l, owner, ttl)
  local ends = redis.call('ZSCORE', l.shared, owner)
  if not ends or tonumber(ends) <= now then return nil end
  redis.call('PERSIST', l.shared)
  redis.call('ZADD', l.shared, ttl and digits(now + ttl) or 'inf', owner)
  keep_shared(l)
  return string.match(redis.call('HGET', l.details, 's:' .. owner) or '0', '^%d+')
end

-- As either of them; nil when \`owner\` does not hold the lock.
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
-- the owner \`asking\`, and the claims of \`home.client\`, which are added to \`home\` as owner, fence, mode and limit.
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

-- Tells those who watch \`owner\` that its claim is over.
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
local l = lock_at(1)
local holders, waiters = {}, {}
local details = redis.call('HGETALL', l.details)
local detail = {}
for i = 1, #details, 2 do
  detail[details[i]] = details[i + 1]
end

-- A prefix that others use as well may lead here with a key that is no lock.
local owner = redis.call('TYPE', l.lock).ok == 'string' and redis.call('GET', l.lock)
if owner then
  local left = redis.call('PTTL', l.lock)
  local fence, granted_to = last_fence(l.fence)
  if granted_to ~= owner then fence = '0' end
  local text = detail.x
  if not text or string.match(text, '^%d+') ~= fence then text = fence end
  table.insert(holders, { 'x', owner, fence, left >= 0 and digits(now + left) or '', text })
end
local shared = redis.call('ZRANGE', l.shared, 0, -1, 'WITHSCORES')
for i = 1, #shared, 2 do
  local ends = tonumber(shared[i + 1])
  if ends > now then
    local text = detail['s:' .. shared[i]] or '0'
    table.insert(holders, { 's', shared[i], string.match(text, '^%d+'), ends < math.huge and digits(ends) or '', text })
  end
end
local waiting = redis.call('ZCARD', l.queue)
if #holders == 0 and waiting == 0 then return {} end

local first = redis.call('ZRANGE', l.queue, 0, tonumber(ARGV[1]) - 1, 'WITHSCORES')
for i = 1, #first, 2 do
  local meta = detail['w:' .. parse_waiting(first[i]).owner]
  table.insert(waiters, { first[i], digits(tonumber(first[i + 1])), meta and { meta } or {} })
end
return { digits(now), detail.limit or '', waiting, holders, waiters }
`,
  },
  release: {
    sha1: '726ef06fbcbb227edf9c7c1b0033419033849dcf',
    source: `-- Gives up a claim, held or waiting, and grants what that allows.
--
-- KEYS  the six of the lock  7 that of the owner's result, if there is one to keep
-- ARGV  1 channel prefix  2 '1' on a cluster  3 'x' or 's'  4 limit or ''  5 owner  6 client
--       7 result  8 how long to keep it, in ms
-- reply {'1' when the owner held the lock until now, '1' when there is more to do: send it again,
--        and of each claim of this client that was granted: owner, fence, 'x' or 's', limit or ''}
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

-- Lets \`key\` live for \`ms\` more; nil: for ever.
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
local mode, owner = ARGV[3], ARGV[5]

local function keep_result()
  if KEYS[7] then redis.call('SET', KEYS[7], ARGV[7], 'PX', ARGV[8]) end
end

local released = mode == 'x' and redis.call('GET', KEYS[1]) == owner
if released then
  redis.call('DEL', KEYS[1])
  keep_result()
  -- The short way, open to most: nobody waits or watches, and nothing is left to tidy.
  if redis.call('EXISTS', KEYS[2], KEYS[3], KEYS[4], KEYS[5]) == 0 then
    let_fence_expire(KEYS[6])
    return { '1', '0' }
  end
end

-- The steps that scripts are made of, after \`_base.lua\`. To define them takes longer than most calls have to, so a script
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

-- Makes \`owner\` a holder. \`ttl\` nil: for ever.
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

-- Starts the ttl of an exclusive lease again, which the caller has seen to be \`owner\`'s, and answers its fence: '0' when
-- it was not granted here.
local function extend_exclusive(l, owner, has_meta, ttl)
  expire(l.lock, ttl)
  expire(l.fence, after_lease(ttl))
  if has_meta then keep_details(l) end
  local fence, granted_to = last_fence(l.fence)
  return granted_to == owner and fence or '0'
end

-- Starts the ttl of a shared lease again and answers its fence, or nil when \`owner\` does not hold the lock.
local function extend_shared(l, owner, ttl)
  local ends = redis.call('ZSCORE', l.shared, owner)
  if not ends or tonumber(ends) <= now then return nil end
  redis.call('PERSIST', l.shared)
  redis.call('ZADD', l.shared, ttl and digits(now + ttl) or 'inf', owner)
  keep_shared(l)
  return string.match(redis.call('HGET', l.details, 's:' .. owner) or '0', '^%d+')
end

-- As either of them; nil when \`owner\` does not hold the lock.
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
-- the owner \`asking\`, and the claims of \`home.client\`, which are added to \`home\` as owner, fence, mode and limit.
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

-- Tells those who watch \`owner\` that its claim is over.
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
local l = lock_at(1)
local push = { channel = ARGV[1], cluster = ARGV[2] == '1' }
local home = { client = ARGV[6] }

if mode == 's' then
  purge(l)
  released = redis.call('ZREM', l.shared, owner) == 1
  if released then
    redis.call('HDEL', l.details, 's:' .. owner)
    keep_result()
  end
end

local more, left = false, false
if redis.call('EXISTS', l.queue) == 1 then
  if not released then
    left = leave(l, { member = mode .. ARGV[4] .. ' ' .. ARGV[6] .. ' ' .. owner, owner = owner })
    purge(l)
  end
  more = advance(l, push, nil, home)
end
if released or left then tell_watchers(l, push, owner) end
forget_if_idle(l)
return { released and '1' or '0', more and '1' or '0', unpack(home) }
`,
  },
  renew: {
    sha1: '8ce6790dabf46b8e95a5701d5582b9fccc50ed28',
    source: `-- Starts the ttl of many leases again. On a cluster: of leases of one slot.
--
-- KEYS  the six of each lock
-- ARGV  four for each: 'x' or 's', owner, ttl in ms or '', '1' when it has a meta
-- reply for each its fence, or '' when the owner does not hold the lock
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

-- Lets \`key\` live for \`ms\` more; nil: for ever.
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
-- The steps that scripts are made of, after \`_base.lua\`. To define them takes longer than most calls have to, so a script
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

-- Makes \`owner\` a holder. \`ttl\` nil: for ever.
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

-- Starts the ttl of an exclusive lease again, which the caller has seen to be \`owner\`'s, and answers its fence: '0' when
-- it was not granted here.
local function extend_exclusive(l, owner, has_meta, ttl)
  expire(l.lock, ttl)
  expire(l.fence, after_lease(ttl))
  if has_meta then keep_details(l) end
  local fence, granted_to = last_fence(l.fence)
  return granted_to == owner and fence or '0'
end

-- Starts the ttl of a shared lease again and answers its fence, or nil when \`owner\` does not hold the lock.
local function extend_shared(l, owner, ttl)
  local ends = redis.call('ZSCORE', l.shared, owner)
  if not ends or tonumber(ends) <= now then return nil end
  redis.call('PERSIST', l.shared)
  redis.call('ZADD', l.shared, ttl and digits(now + ttl) or 'inf', owner)
  keep_shared(l)
  return string.match(redis.call('HGET', l.details, 's:' .. owner) or '0', '^%d+')
end

-- As either of them; nil when \`owner\` does not hold the lock.
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
-- the owner \`asking\`, and the claims of \`home.client\`, which are added to \`home\` as owner, fence, mode and limit.
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

-- Tells those who watch \`owner\` that its claim is over.
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
local replies = {}
for i = 1, #ARGV / 4 do
  local a = 4 * (i - 1)
  local l = lock_at(6 * (i - 1) + 1)
  replies[i] = extend(l, ARGV[a + 1], ARGV[a + 2], ARGV[a + 4] == '1', tonumber(ARGV[a + 3])) or ''
end
return replies
`,
  },
  watch: {
    sha1: '93fef576c8fc6ce5d62027c9f5cde3af3676d384',
    source: `-- What became of a claim; while it is live, its end is told to the client that asks.
--
-- KEYS  the six of the lock  7 that of the owner's result
-- ARGV  1 owner  2 client
-- reply {'result', text} | {'live'} | {'gone'}
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

-- Lets \`key\` live for \`ms\` more; nil: for ever.
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
-- The steps that scripts are made of, after \`_base.lua\`. To define them takes longer than most calls have to, so a script
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

-- Makes \`owner\` a holder. \`ttl\` nil: for ever.
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

-- Starts the ttl of an exclusive lease again, which the caller has seen to be \`owner\`'s, and answers its fence: '0' when
-- it was not granted here.
local function extend_exclusive(l, owner, has_meta, ttl)
  expire(l.lock, ttl)
  expire(l.fence, after_lease(ttl))
  if has_meta then keep_details(l) end
  local fence, granted_to = last_fence(l.fence)
  return granted_to == owner and fence or '0'
end

-- Starts the ttl of a shared lease again and answers its fence, or nil when \`owner\` does not hold the lock.
local function extend_shared(l, owner, ttl)
  local ends = redis.call('ZSCORE', l.shared, owner)
  if not ends or tonumber(ends) <= now then return nil end
  redis.call('PERSIST', l.shared)
  redis.call('ZADD', l.shared, ttl and digits(now + ttl) or 'inf', owner)
  keep_shared(l)
  return string.match(redis.call('HGET', l.details, 's:' .. owner) or '0', '^%d+')
end

-- As either of them; nil when \`owner\` does not hold the lock.
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
-- the owner \`asking\`, and the claims of \`home.client\`, which are added to \`home\` as owner, fence, mode and limit.
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

-- Tells those who watch \`owner\` that its claim is over.
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
local l = lock_at(1)
local owner, client = ARGV[1], ARGV[2]

local result = redis.call('GET', KEYS[7])
if result then return { 'result', result } end

local function holds()
  if redis.call('GET', l.lock) == owner then return true end
  local ends = redis.call('ZSCORE', l.shared, owner)
  return ends and tonumber(ends) > now
end

-- A claim is queued under more than its owner; few wait for a lock whose claims are watched.
local function waits()
  for _, member in ipairs(redis.call('ZRANGE', l.queue, 0, -1)) do
    if parse_waiting(member).owner == owner then return true end
  end
  return false
end

if not holds() and not waits() then return { 'gone' } end

local kept = { client .. ' ' .. digits(now + ALIVE_MS) .. ' ' }
for other, until_ms in string.gmatch(redis.call('HGET', l.details, 'o:' .. owner) or '', '(%S+) (%d+) ') do
  if other ~= client and tonumber(until_ms) > now then table.insert(kept, other .. ' ' .. until_ms .. ' ') end
end
detail(l, 'o:' .. owner, table.concat(kept))
keep_details(l)
return { 'live' }
`,
  },
}
