-- Locks as an operator sees them. Changes nothing, and reads no more than it shows. On a cluster: locks of one slot.
--
-- KEYS  the three of each lock, see steps.lua
-- ARGV  1 how many holders, and how many waiters, to show of each  2 how many to show of all: after that many the rest of
--       the locks is left out
-- reply for each lock: {} when nobody holds it or waits for it, else {now in ms, how many hold it, how many wait, then of
--       each holder and each waiter four: 'x' exclusive holder, 's' shared holder or 'w' waiter; owner; when the lease
--       ends in ms or '', or the ticket; and what is noted of the claim or ''}
local call, try = redis.call, redis.pcall
local show, show_of_all = tonumber(ARGV[1]), tonumber(ARGV[2])

-- @include _fence.lua
-- @include _time.lua
-- @include _lock.lua

-- A prefix that others use as well may lead to keys that are none of a lock.
local function of_type(reply, otherwise)
  if type(reply) == 'table' and reply.err then return otherwise end
  return reply
end

local function inspect(k)
  local lock, queue, details = KEYS[k], KEYS[k + 1], KEYS[k + 2]
  local from, to = '(' .. digits(now), '(1e15'
  local holder = of_type(try('GET', lock), false)
  local shared = of_type(try('ZCOUNT', queue, from, to), 0)
  local waiting = of_type(try('ZCOUNT', queue, FIRST_TICKET, '+inf'), 0)
  local state = { digits(now), shared + (holder and 1 or 0), waiting }
  local fields = {}
  local function add(kind, owner, at)
    for _, part in ipairs({ kind, owner, at, '' }) do
      state[#state + 1] = part
    end
    fields[#fields + 1] = 'o' .. owner
  end

  if holder then
    local left = call('PTTL', lock)
    add('x', holder, left >= 0 and digits(now + left) or '')
  end
  if shared > 0 then
    local first = call('ZRANGE', queue, from, to, 'BYSCORE', 'LIMIT', 0, show - #fields, 'WITHSCORES')
    for i = 1, #first, 2 do
      local ends = tonumber(first[i + 1])
      add('s', first[i], ends < FOREVER and digits(ends) or '')
    end
  end
  if waiting > 0 then
    local first = call('ZRANGE', queue, FIRST_TICKET, '+inf', 'BYSCORE', 'LIMIT', 0, show, 'WITHSCORES')
    for i = 1, #first, 2 do
      add('w', first[i], digits(tonumber(first[i + 1])))
    end
  end
  if #fields == 0 then return {}, 0 end
  local notes = of_type(try('HMGET', details, unpack(fields)), {})
  for i, note in ipairs(notes) do
    if note then state[3 + 4 * i] = note end
  end
  return state, #fields
end

local states, shown = {}, 0
for i = 1, #KEYS / 3 do
  if shown >= show_of_all then break end
  local count
  states[i], count = inspect(3 * i - 2)
  shown = shown + count
end
return states
