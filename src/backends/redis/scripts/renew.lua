-- Starts the ttl of many leases again. On a cluster: of leases of one slot.
--
-- KEYS  the six of each lock
-- ARGV  four for each: 'x' or 's', owner, ttl in ms or '', '1' when it has a meta
-- reply for each its fence, or '' when the owner does not hold the lock
-- @include _base.lua
-- @include _lock.lua
local replies = {}
for i = 1, #ARGV / 4 do
  local a = 4 * (i - 1)
  local l = lock_at(6 * (i - 1) + 1)
  replies[i] = extend(l, ARGV[a + 1], ARGV[a + 2], ARGV[a + 4] == '1', tonumber(ARGV[a + 3])) or ''
end
return replies
