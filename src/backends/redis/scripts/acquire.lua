-- Grants, queues or refuses claims of one client, one after the other. On a cluster: claims of one slot.
--
-- KEYS  the six of each lock
-- ARGV  1 channel prefix  2 '1' on a cluster  3 client, then for each claim its owner and its terms:
--       '<x | s[limit]>,<ttl in ms or nothing: for ever>,<ticket: nothing not to queue, new, or a number>,<m><r>',
--       behind which comes, with m, its meta, and, with r, the owner it is to replace
-- reply for each its fence when it was granted | {'limit', limit or ''} |
--       {'busy', holder or '', ms until a lease ends or '', ticket or '', '1' when it had to be queued again}
-- @include _base.lua
local push = { channel = ARGV[1], cluster = ARGV[2] == '1' }
local client = ARGV[3]

-- The short way, open to most: the lock is free, and neither waiters nor readers nor anything noted is in the way. `k` is
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

-- @include _lock.lua
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
