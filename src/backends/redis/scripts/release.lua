-- Gives up a claim, held or waiting, and grants what that allows.
--
-- KEYS  the six of the lock  7 that of the owner's result, if there is one to keep
-- ARGV  1 channel prefix  2 '1' on a cluster  3 'x' or 's'  4 limit or ''  5 owner  6 client
--       7 result  8 how long to keep it, in ms
-- reply {'1' when the owner held the lock until now, '1' when there is more to do: send it again,
--        and of each claim of this client that was granted: owner, fence, 'x' or 's', limit or ''}
-- @include _lock.lua
local l = lock_at(1)
local push = { channel = ARGV[1], cluster = ARGV[2] == '1' }
local mode, owner, home = ARGV[3], ARGV[5], { client = ARGV[6] }
local released = false

if mode == 'x' then
  if redis.call('GET', l.lock) == owner then
    redis.call('DEL', l.lock)
    released = true
  end
else
  purge(l)
  released = redis.call('ZREM', l.shared, owner) == 1
  if released then redis.call('HDEL', l.details, 's:' .. owner) end
end
if released and KEYS[7] then redis.call('SET', KEYS[7], ARGV[7], 'PX', ARGV[8]) end

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
