-- What became of a claim; while it is live, its end is told to the client that asks.
--
-- KEYS  1 lock  2 queue  3 details, see steps.lua  4 the key of the owner's result
-- ARGV  1 owner  2 client
-- reply {'result', text} | {'displaced', by} | {'live'} | {'gone'}
local call, try = redis.call, redis.pcall
-- @limit IDLE_MS
-- @limit ALIVE_MS
local owner, client, idle_ms, alive_ms = ARGV[1], ARGV[2], tonumber(IDLE_MS), tonumber(ALIVE_MS)

-- Whoever watched it is told of nothing that its owner claims next.
local function gone()
  call('HDEL', KEYS[3], 'w' .. owner)
  return { 'gone' }
end

local left = call('GET', KEYS[4])
if left == '\255' then return gone() end
if left and string.byte(left) == 255 then return { 'displaced', string.sub(left, 2) } end
if left and string.byte(left) ~= 254 then return { 'result', left } end

-- @include _time.lua
-- @include _lock.lua
local l = lock_at(KEYS[1], KEYS[2], KEYS[3], owner)
local score = l.size > 0 and tonumber(call('ZSCORE', l.queue, owner) or nil)
if l.holder ~= owner and not (score and score > now) then return gone() end
if l.holder ~= owner and score >= FIRST_TICKET then
  -- It waits. Nobody but those who watch it may ask about this lock, and so it is they who notice that its client fell silent.
  local claim = claim_of(owner, l.mine)
  if claim and not claim.durable and claim.client ~= client then
    local alive = string.match(call('HGET', l.details, 'c' .. claim.client) or '', '^(%d+)')
    if not alive or tonumber(alive) <= now then
      call('ZREM', l.queue, owner)
      call('HDEL', l.details, 'o' .. owner, 'j' .. owner)
      return gone()
    end
  end
end

local watchers = client .. ' ' .. digits(now + alive_ms) .. ' '
for other, until_ms in string.gmatch(l.watched or '', '(%S+) (%d+) ') do
  if other ~= client and tonumber(until_ms) > now then watchers = watchers .. other .. ' ' .. until_ms .. ' ' end
end
call('HSET', l.details, 'w' .. owner, watchers)
keep(l)
return { 'live' }
