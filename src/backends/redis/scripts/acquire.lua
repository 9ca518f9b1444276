-- Grants, queues or refuses one claim.
--
-- KEYS  the six of the lock
-- ARGV  1 name  2 channel prefix  3 '1' on a cluster  4 'x' or 's'  5 limit or ''  6 owner  7 client  8 ttl in ms or ''
--       9 '1' when there is a meta  10 meta  11 ticket: '' not to queue, 'new', or a number
--       12 '1' when an owner is to be replaced  13 that owner
-- reply {'granted', fence} | {'limit', limit or ''} |
--       {'busy', holder or '', ms until a lease ends or '', ticket or '', '1' when it had to be queued again}
-- @include _lock.lua
local l = lock_at(1)
local push = { name = ARGV[1], channel = ARGV[2], cluster = ARGV[3] == '1' }
local mode, limit, owner, client, ttl = ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7], tonumber(ARGV[8])
local meta = ARGV[9] == '1' and ARGV[10] or nil
local ticket = ARGV[11]

local function grant()
  local fence = next_fence(l)
  hold(l, mode, limit, owner, meta, ttl, fence)
  return { 'granted', digits(fence) }
end

local function stands_other_limit()
  local stands = mode == 's' and redis.call('HGET', l.details, 'limit')
  return stands and stands ~= ARGV[5] and stands or nil
end

-- Puts the claim in the queue, unless it is there, shows its client alive, and answers its ticket.
local function enqueue()
  local member = mode .. ARGV[5] .. ' ' .. client .. ' ' .. owner
  local place, requeued = redis.call('ZSCORE', l.queue, member), '0'
  if place then
    place = digits(tonumber(place))
  else
    if ticket == 'new' then
      local last = redis.call('ZRANGE', l.queue, 0, 0, 'REV', 'WITHSCORES')
      place = digits(math.max(now_us, #last > 0 and tonumber(last[2]) + 1 or 0))
    else
      place, requeued = ticket, '1'
    end
    redis.call('ZADD', l.queue, place, member)
    if meta then detail(l, 'w:' .. owner, meta) end
    if mode == 's' then detail(l, 'limit', ARGV[5]) end
  end
  redis.call('HSET', l.clients, client, digits(now + ALIVE_MS))
  redis.call('PEXPIRE', l.clients, IDLE_MS)
  redis.call('PEXPIRE', l.queue, IDLE_MS)
  keep_details(l)
  return place, requeued
end

local holder = redis.call('GET', l.lock)
local mine = nil
if mode == 's' then
  mine = extend_shared(l, owner, ttl)
elseif holder == owner then
  mine = extend_exclusive(l, owner, meta ~= nil, ttl)
  if mine == '0' then return grant() end
end
if mine then return { 'granted', mine } end

local more, requeued = false, '0'
if holder then
  -- While it is held exclusively nothing can be granted, but to who replaces the holder.
  if ARGV[12] == '1' and mode == 'x' and holder == ARGV[13] then
    local granted = grant()
    tell_watchers(l, push, holder)
    return granted
  end
  local limit_that_stands = stands_other_limit()
  if limit_that_stands then return { 'limit', limit_that_stands } end
  if ticket ~= '' then ticket, requeued = enqueue() end
else
  if redis.call('EXISTS', l.shared, l.queue, l.details) == 0 then return grant() end
  purge(l)
  if forget_if_idle(l) then return grant() end
  local limit_that_stands = stands_other_limit()
  if limit_that_stands then return { 'limit', limit_that_stands } end
  if ticket == '' then more = advance(l, push, nil) end
  if redis.call('EXISTS', l.queue) == 0 and fits(l, mode, limit) then return grant() end
  if ticket ~= '' then
    ticket, requeued = enqueue()
    more = advance(l, push, owner)
    mine = extend(l, mode, owner, meta ~= nil, ttl)
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
