-- Locks as an operator sees them. Changes nothing, and reads little more than it shows: of shared holders, which are in the
-- order in which their leases end, up to MOST_READ, to find those that were granted first. On a cluster: locks of one slot.
--
-- KEYS  the three of each lock, see steps.lua
-- ARGV  1 how many holders, and how many waiters, to show of each  2 how many to show of all: after that many the rest of
--       the locks is left out
-- reply for each lock: {} when nobody holds it or waits for it, else {now in ms, how many hold it, how many wait, of the
--       pending run its owner or '', how many notes it has, and before when it does not start, in ms, or ''; then of
--       each holder and each waiter four: 'x' exclusive holder, 's' shared holder or 'w' waiter; owner; when the lease
--       ends in ms or '', or the ticket; and what is noted of the claim or ''}
local call, try = redis.call, redis.pcall
local show, show_of_all = tonumber(ARGV[1]), tonumber(ARGV[2])

-- @include _time.lua
-- @include _lock.lua

-- A prefix that others use as well may lead to keys that are none of a lock.
local function of_type(reply, otherwise)
  if type(reply) == 'table' and reply.err then return otherwise end
  return reply
end

local MOST_READ = 500

-- What is noted of each owner, or '' of one of whom nothing is.
local function notes_of(details, owners)
  local fields = {}
  for i, owner in ipairs(owners) do
    fields[i] = 'o' .. owner
  end
  local notes = of_type(try('HMGET', details, unpack(fields)), {})
  for i = 1, #owners do
    notes[i] = notes[i] or ''
  end
  return notes
end

-- The pending run: who is noted as such, unless it is over unnoticed; else the first that waits and will begin a run.
local function pending_of(holder, queue, details)
  local noted = of_type(try('HGET', details, 'p'), false)
  if not noted then return { '', 0, '' } end
  local runs, closed = runs_of(noted), {}
  local run = runs.pending
  local place = run and run.owner ~= holder and tonumber(of_type(try('ZSCORE', queue, run.owner), nil) or nil)
  local over = run and run.owner ~= holder and not (place and place > now)
  local waits = place and place >= FIRST_TICKET
  local claim = waits and claim_of(run.owner, call('HGET', details, 'o' .. run.owner))
  if claim and not claim.durable then
    local alive = string.match(call('HGET', details, 'c' .. claim.client) or '', '^%d+')
    over = not alive or tonumber(alive) <= now
  end
  if run and not over then return { run.owner, run.count, run.not_before and digits(run.not_before) or '' } end
  for _, begun in ipairs(runs.begun) do
    closed[begun.owner] = true
  end
  for _, owner in ipairs(of_type(try('ZRANGE', queue, FIRST_TICKET, '+inf', 'BYSCORE', 'LIMIT', 0, 2), {})) do
    if not (run and run.owner == owner) then
      local job = call('HGET', details, 'j' .. owner)
      if not job or closed[owner] then break end
      return { owner, string.find(job, ',', 1, true) and 1 or 0, '' }
    end
  end
  return { '', 0, '' }
end

local function inspect(k)
  local lock, queue, details = KEYS[k], KEYS[k + 1], KEYS[k + 2]
  local from, to = '(' .. digits(now), '(1e15'
  local holder = of_type(try('GET', lock), false)
  local shared = of_type(try('ZCOUNT', queue, from, to), 0)
  local waiting = of_type(try('ZCOUNT', queue, FIRST_TICKET, '+inf'), 0)
  local state = { digits(now), shared + (holder and 1 or 0), waiting, unpack(pending_of(holder, queue, details)) }
  local read = 0
  -- Adds the first of these members of the queue, by `less`, or of the lock itself.
  local function add(kind, members, less, most)
    local owners, rows = {}, {}
    for i = 1, #members, 2 do
      owners[#owners + 1] = members[i]
    end
    read = read + #owners
    for i, note in ipairs(notes_of(details, owners)) do
      rows[i] = { owner = owners[i], at = members[2 * i], note = note, fence = tonumber(string.match(note, ' (%d+)') or 0) }
    end
    if less then table.sort(rows, less) end
    for i = 1, math.min(#rows, most) do
      for _, part in ipairs({ kind, rows[i].owner, rows[i].at, rows[i].note }) do
        state[#state + 1] = part
      end
    end
  end

  if holder then
    local left = call('PTTL', lock)
    add('x', { holder, left >= 0 and digits(now + left) or '' }, nil, 1)
  end
  if shared > 0 then
    local members = call('ZRANGE', queue, from, to, 'BYSCORE', 'LIMIT', 0, MOST_READ, 'WITHSCORES')
    for i = 2, #members, 2 do
      local ends = tonumber(members[i])
      members[i] = ends < FOREVER and digits(ends) or ''
    end
    add('s', members, function(a, b)
      return a.fence < b.fence
    end, show - read)
  end
  if waiting > 0 then
    local members = call('ZRANGE', queue, FIRST_TICKET, '+inf', 'BYSCORE', 'LIMIT', 0, show, 'WITHSCORES')
    for i = 2, #members, 2 do
      members[i] = digits(tonumber(members[i]))
    end
    add('w', members, nil, show)
  end
  if read == 0 then return {}, 0 end
  return state, read
end

local states, shown = {}, 0
for i = 1, #KEYS / 3 do
  if shown >= show_of_all then break end
  local count
  states[i], count = inspect(3 * i - 2)
  shown = shown + count
end
return states
