-- Grants, queues or refuses claims, one after the other. On a cluster: claims of one slot.
--
-- KEYS  the six of each lock
-- ARGV  1 channel prefix  2 '1' on a cluster, then eleven for each claim:
--       1 name  2 'x' or 's'  3 limit or ''  4 owner  5 client  6 ttl in ms or ''  7 '1' when there is a meta  8 meta
--       9 ticket: '' not to queue, 'new', or a number  10 '1' when an owner is to be replaced  11 that owner
-- reply for each {'granted', fence} | {'limit', limit or ''} |
--       {'busy', holder or '', ms until a lease ends or '', ticket or '', '1' when it had to be queued again}
-- @include _lock.lua
local push = { channel = ARGV[1], cluster = ARGV[2] == '1' }

local function grant(l, claim)
  local fence = next_fence(l)
  hold(l, claim.mode, claim.limit, claim.owner, claim.meta, claim.ttl, fence)
  return { 'granted', digits(fence) }
end

local function stands_other_limit(l, claim)
  local stands = claim.mode == 's' and redis.call('HGET', l.details, 'limit')
  return stands and stands ~= claim.limit_text and stands or nil
end

-- Puts the claim in the queue, unless it is there, shows its client alive, and answers its ticket.
local function enqueue(l, claim)
  local member = claim.mode .. claim.limit_text .. ' ' .. claim.client .. ' ' .. claim.owner
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
  redis.call('HSET', l.clients, claim.client, digits(now + ALIVE_MS))
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
  if mine then return { 'granted', mine } end

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
    if redis.call('EXISTS', l.shared, l.queue, l.details) == 0 then return grant(l, claim) end
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
      if mine then return { 'granted', mine } end
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

local replies = {}
for i = 1, (#ARGV - 2) / 11 do
  local a = 11 * (i - 1) + 2
  push.name = ARGV[a + 1]
  replies[i] = acquire(lock_at(6 * (i - 1) + 1), {
    mode = ARGV[a + 2],
    limit_text = ARGV[a + 3],
    limit = tonumber(ARGV[a + 3]),
    owner = ARGV[a + 4],
    client = ARGV[a + 5],
    ttl = tonumber(ARGV[a + 6]),
    meta = ARGV[a + 7] == '1' and ARGV[a + 8] or nil,
    ticket = ARGV[a + 9],
    replaces = ARGV[a + 10] == '1' and ARGV[a + 11] or nil,
  })
end
return replies
