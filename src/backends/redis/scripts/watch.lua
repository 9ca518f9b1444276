-- What became of a claim; while it is live, its end is told to the client that asks.
--
-- KEYS  the six of the lock  7 that of the owner's result
-- ARGV  1 owner  2 client
-- reply {'result', text} | {'live'} | {'gone'}
-- @include _base.lua
-- @include _lock.lua
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
