-- What is known of one lock and how it is held. To define all this takes longer than most calls have to, so a script that
-- can do without ends before.

local FIRST_TICKET = 1e15 -- in the queue, what is below is the end of a shared lease
local FOREVER = 9e14

-- The notes of a run have numbers from a multiple of this on: no two runs have the same. So each may get more while it is there.
local NOTES_OF_A_RUN = 1000000000

-- The runs that field p tells of: the pending one, those that have begun and were told something, and those that have begun
-- without a word from their owners; and which multiples are taken, those of runs that ended in this step too.
local function runs_of(text)
  local runs, at = { begun = {}, taken = {} }, 1
  while at <= #text do
    local kind, from, count, first, not_before, length, start =
      string.match(text, '^([pbs])(%d+),(%d+),(%d*),(%d*),(%d+):()', at)
    local run = {
      owner = string.sub(text, start, start + length - 1),
      from = tonumber(from),
      count = tonumber(count),
      first = tonumber(first),
      not_before = tonumber(not_before),
      unasked = kind == 's' or nil,
    }
    if kind == 'p' then
      runs.pending = run
    else
      runs.begun[#runs.begun + 1] = run
    end
    runs.taken[math.floor(run.from / NOTES_OF_A_RUN)] = true
    at = start + length
  end
  return runs
end

-- Reads all three keys of a lock, also to see that none is of another type before anything is written. `owner`: whose step
-- this is.
local function lock_at(lock, queue, details, owner)
  local l = {
    lock = lock,
    queue = queue,
    details = details,
    holder = call('GET', lock),
    size = call('ZCARD', queue),
    -- Fields of the details that are deleted when the step is done, together. They must not be set again in it.
    over = {},
    owner = owner,
  }
  local known = call('HMGET', details, 'p', 'd', 'o' .. owner, 'w' .. owner)
  -- What is noted of the owner's claim, and who watches it, before this step.
  l.mine, l.watched = known[3], known[4]
  -- How many durable claims wait.
  l.durable = tonumber(known[2] or 0)
  -- nil where no run of a job has been waited for.
  l.runs = known[1] and runs_of(known[1]) or nil
  if known[1] or known[2] or known[3] or known[4] or l.size > 0 then l.detailed = true end
  return l
end

-- Whether there are details; asked for where it is not known yet.
local function detailed(l)
  if l.detailed == nil then l.detailed = call('HLEN', l.details) > 0 end
  return l.detailed
end

-- What such a text says of a claim; nil when it says nothing.
local function claim_of(owner, text)
  if not text then return nil end
  local mode, limit, noted, durable, ttl, of, fence, comma, meta =
    string.match(text, '^([xs])(%d*)(n?)(d?),(%d+),(%S*) (%d*)(,?)(.*)$')
  if not mode then return nil end
  if comma == '' then meta = nil end
  return {
    owner = owner,
    mode = mode,
    limit = limit,
    noted = noted ~= '' or nil,
    durable = durable ~= '' or nil,
    ttl = ttl,
    client = of,
    fence = fence,
    meta = meta,
  }
end

-- The text that notes a claim; without a fence it waits.
local function note_of(claim, fence)
  local flags = (claim.noted and 'n' or '') .. (claim.durable and 'd,' or ',')
  local text = claim.mode .. claim.limit .. flags .. claim.ttl .. ',' .. claim.client .. ' ' .. (fence or '')
  if claim.meta then text = text .. ',' .. claim.meta end
  return text
end

-- The shared holder whose lease ends first, or last, and the ms until then; -1: never. Nothing when there is none.
local function shared_left(l, last)
  local found
  if last then
    found = call('ZRANGE', l.queue, '(1e15', '(' .. digits(now), 'BYSCORE', 'REV', 'LIMIT', 0, 1, 'WITHSCORES')
  else
    found = call('ZRANGE', l.queue, '(' .. digits(now), '(1e15', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
  end
  if not found[1] then return nil end
  local ends = tonumber(found[2])
  return found[1], ends >= FOREVER and -1 or ends - now
end

-- Whether the runs tell of any.
local function has_runs(l)
  return l.runs and (l.runs.pending or #l.runs.begun > 0)
end

-- Queue and details live as long as what is in them: shared leases, an exclusive one that is noted, a durable claim that
-- waits; and a while longer, for those who wait and ask again meanwhile.
local function keep(l)
  local in_queue, in_details = 0, 0
  if l.durable > 0 then
    in_queue, in_details = -1, -1
  elseif l.holder then
    l.left = l.left or call('PTTL', l.lock)
    in_details = l.left
    if in_details == -1 and not has_runs(l) and call('HEXISTS', l.details, 'o' .. l.holder) == 0 then in_details = 0 end
  else
    local _, left = shared_left(l, true)
    in_queue, in_details = left or 0, left or 0
  end
  expire(l.queue, in_queue >= 0 and in_queue + idle_ms or nil)
  expire(l.details, in_details >= 0 and in_details + idle_ms or nil)
end

-- The grant rule, apart from who waits.
local function has_room(l, claim)
  if l.holder then return false end
  if l.size == 0 then return true end
  -- How many shared leases run.
  l.shared = l.shared or call('ZCOUNT', l.queue, '(' .. digits(now), '(1e15')
  if claim.mode == 'x' then return l.shared == 0 end
  return claim.limit == '' or l.shared < tonumber(claim.limit)
end

-- Makes the claim a holder for `ttl`. A note of it is needed for a meta, where age and fence are to be seen from the grant on,
-- and for a grant that is to be confirmed.
local function hold(l, claim, ttl, fence, noted)
  if claim.mode == 'x' then
    if ttl == '0' then
      call('SET', l.lock, claim.owner)
    else
      call('SET', l.lock, claim.owner, 'PX', ttl)
    end
    l.holder, l.left, l.freed = claim.owner, ttl == '0' and -1 or tonumber(ttl), false
    if noted then
      call('HSET', l.details, 'o' .. claim.owner, note_of(claim, fence))
      l.detailed, l.noted, l.to_keep = true, true, true
    elseif detailed(l) then
      l.over[#l.over + 1] = 'o' .. claim.owner
      if l.runs then l.to_keep = true end
    end
  else
    local ends = ttl == '0' and FOREVER or now + ttl
    l.size = l.size + call('ZADD', l.queue, digits(ends), claim.owner)
    call('HSET', l.details, 'o' .. claim.owner, note_of(claim, fence))
    l.detailed, l.to_keep = true, true
    if l.shared then l.shared = l.shared + 1 end
  end
end

-- Deletes what is noted of what is over.
local function forget_over(l)
  for from = 1, #l.over, 1000 do
    call('HDEL', l.details, unpack(l.over, from, math.min(from + 999, #l.over)))
  end
  l.over = {}
end

-- Ends a step: writes what is left to be written, and deletes what is noted of claims that are over, or all of it when nothing
-- needs it: nobody waits or shares, and nothing is noted of who holds the lock.
local function settle(l)
  if l.freed then call('DEL', l.lock) end
  if l.size == 0 and not l.holder then
    if detailed(l) then call('DEL', l.details) end
    return
  end
  forget_over(l)
  if l.write_runs then l.write_runs(l) end
  if l.to_keep then keep(l) end
  if l.size > 0 or l.noted or has_runs(l) or not detailed(l) then return end
  local notes = call('HMGET', l.details, 'o' .. l.holder, 'w' .. l.holder)
  if not (notes[1] or notes[2]) then call('DEL', l.details) end
end
