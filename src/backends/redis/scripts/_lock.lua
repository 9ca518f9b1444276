-- What is known of one lock and how it is held. To define all this takes longer than most calls have to, so a script that
-- can do without ends before.

local FIRST_TICKET = 1e15 -- in the queue, what is below is the end of a shared lease
local FOREVER = 9e14

-- Reads all three keys of a lock, also to see that none is of another type before anything is written.
local function lock_at(k)
  local lock, queue, details = KEYS[k], KEYS[k + 1], KEYS[k + 2]
  return {
    lock = lock,
    queue = queue,
    details = details,
    holder = call('GET', lock),
    size = call('ZCARD', queue),
    detailed = call('HLEN', details) > 0,
    -- Fields of the details that are deleted when the step is done, together. They must not be set again in it.
    over = {},
  }
end

-- What is noted of a claim; nil when nothing is.
local function noted_claim(l, owner)
  local text = call('HGET', l.details, 'o' .. owner)
  if not text then return nil end
  local mode, limit, noted, ttl, of, fence, comma, meta =
    string.match(text, '^([xs])(%d*)(n?),(%d+),(%S+) (%d*)(,?)(.*)$')
  if not mode then return nil end
  if comma == '' then meta = nil end
  return {
    owner = owner,
    mode = mode,
    limit = limit,
    noted = noted ~= '' or nil,
    ttl = ttl,
    client = of,
    fence = fence,
    meta = meta,
  }
end

-- The text that notes a claim; without a fence it waits.
local function note_of(claim, fence)
  local text = claim.mode .. claim.limit .. (claim.noted and 'n,' or ',') .. claim.ttl .. ',' .. claim.client .. ' ' .. (fence or '')
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

-- Queue and details live as long as what is in them: shared leases, an exclusive one that is noted; and a while longer, for
-- those who wait and ask again meanwhile.
local function keep(l)
  local in_queue, in_details = 0, 0
  if l.holder then
    l.left = l.left or call('PTTL', l.lock)
    in_details = l.left
    if in_details == -1 and call('HEXISTS', l.details, 'o' .. l.holder) == 0 then in_details = 0 end
  else
    local _, left = shared_left(l, true)
    in_queue, in_details = left or 0, left or 0
  end
  expire(l.queue, in_queue >= 0 and in_queue + idle_ms or nil)
  expire(l.details, in_details >= 0 and in_details + idle_ms or nil)
end

-- The grant rule, apart from who waits.
local function fits(l, claim)
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
      keep(l)
    elseif l.detailed then
      l.over[#l.over + 1] = 'o' .. claim.owner
    end
  else
    local ends = ttl == '0' and FOREVER or now + ttl
    l.size = l.size + call('ZADD', l.queue, digits(ends), claim.owner)
    call('HSET', l.details, 'o' .. claim.owner, note_of(claim, fence))
    if l.shared then l.shared = l.shared + 1 end
    keep(l)
  end
end

-- Ends a step: deletes what is noted of claims that are over, or all of it when nothing needs it: nobody waits or shares,
-- and nothing is noted of who holds the lock.
local function tidy(l)
  if #l.over > 0 then call('HDEL', l.details, unpack(l.over)) end
  if l.size > 0 then return end
  if l.holder then
    local notes = call('HMGET', l.details, 'o' .. l.holder, 'w' .. l.holder)
    if notes[1] or notes[2] then return end
  end
  call('DEL', l.details)
end
