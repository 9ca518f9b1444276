-- Gives up a claim, held or waiting, and grants what that allows.
--
-- KEYS  the six of the lock  7 that of the owner's result, if there is one to keep
-- ARGV  1 name  2 channel prefix  3 '1' on a cluster  4 'x' or 's'  5 limit or ''  6 owner  7 client
--       8 result  9 how long to keep it, in ms
-- reply {'1' when the owner held the lock until now, '1' when there is more to do: send it again,
--        and of each claim of this client that was granted: owner, fence, 'x' or 's', limit or ''}
-- @include _lock.lua
local l = lock_at(1)
local push = { name = ARGV[1], channel = ARGV[2], cluster = ARGV[3] == '1' }
local mode, owner, home = ARGV[4], ARGV[6], { client = ARGV[7] }
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
if released and KEYS[7] then redis.call('SET', KEYS[7], ARGV[8], 'PX', ARGV[9]) end

local more, left = false, false
if redis.call('EXISTS', l.queue) == 1 then
  if not released then
    left = leave(l, { member = mode .. ARGV[5] .. ' ' .. ARGV[7] .. ' ' .. owner, owner = owner })
    purge(l)
  end
  more = advance(l, push, nil, home)
end
if released or left then tell_watchers(l, push, owner) end
forget_if_idle(l)
return { released and '1' or '0', more and '1' or '0', unpack(home) }
