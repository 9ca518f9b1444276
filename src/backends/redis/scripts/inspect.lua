-- A lock as an operator sees it. Changes nothing.
--
-- KEYS  the six of the lock
-- ARGV  1 how many waiters to show
-- reply {} when nobody holds it or waits for it, else {now in ms, limit or '', how many wait, holders, waiters}
--       holders: for each 'x' or 's', owner, fence, when its lease ends in ms or '', and '<fence> <meta>' or '<fence>'
--       waiters: for each '<x | s[limit]> <client> <owner>', ticket, and {meta} or {}
-- @include _base.lua
-- @include _lock.lua
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
