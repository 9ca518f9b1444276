-- Gives up a claim, held or waiting, and grants what that allows.
--
-- KEYS  the six of the lock  7 that of the owner's result, if there is one to keep
-- ARGV  1 channel prefix  2 '1' on a cluster  3 'x' or 's'  4 limit or ''  5 owner  6 client
--       7 result  8 how long to keep it, in ms
-- reply {'1' when the owner held the lock until now, '1' when there is more to do: send it again,
--        and of each claim of this client that was granted: owner, fence, 'x' or 's', limit or ''}
-- @include _base.lua
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

-- @include _lock.lua
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
