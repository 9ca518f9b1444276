-- Starts a lease again while its slot moves from one server of a cluster to another: there, a script that has a key which
-- does not exist is refused, so this one has a single key, and leaves the others for later.
--
-- KEYS  1 the lock, or the queue, see steps.lua
-- ARGV  1 owner  2 ttl in ms, 0: for ever
-- reply 1 when the owner holds it by this key, else 0
local call = redis.call
local key, owner, ttl = KEYS[1], ARGV[1], ARGV[2]

-- @include _time.lua
local kind = call('TYPE', key).ok
if kind == 'string' and call('GET', key) == owner then
  expire(key, ttl ~= '0' and ttl or nil)
  return 1
elseif kind == 'zset' then
  local ends = tonumber(call('ZSCORE', key, owner) or nil)
  if ends and ends > now and ends < 1e15 then
    call('ZADD', key, ttl == '0' and '900000000000000' or digits(now + ttl), owner)
    local left = call('PTTL', key)
    if left >= 0 then expire(key, ttl ~= '0' and math.max(left, ttl) or nil) end
    return 1
  end
end
return 0
