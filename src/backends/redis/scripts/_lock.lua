-- What is known of one lock and how it is held. To define all this takes longer than most calls have to, so a script that
-- can do without ends before.

local FIRST_TICKET = 1e15 -- in the queue, what is below is the end of a shared lease
local FOREVER = 9e14

-- Reads all three keys of a lock, also to see that none is of another type before anything is written.
local function lock_at(k)
  local l = { lock = KEYS[k], queue = KEYS[k + 1], details = KEYS[k + 2] }
  l.holder = call('GET', l.lock)
  l.size = call('ZCARD', l.queue)
  l.detailed = call('HLEN', l.details) > 0
  return l
end

-- What is noted of a claim; nil when nothing is.
local function noted_claim(l, owner)
  local text = call('HGET', l.details, 'o' .. owner)
  if not text then return nil end
  local mode, limit, ttl, of, fence, comma, meta = string.match(text, '^([xs])(%d*),(%d+),(%S+) (%d*)(,?)(.*)$')
  if not mode then return nil end
  return {
    owner = owner,
    mode = mode,
    limit = tonumber(limit),
    ttl = tonumber(ttl),
    client = of,
    fence = fence,
    meta = comma ~= '' and meta or nil,
  }
end

-- The field and the text that note a claim; without a fence it waits.
local function note_of(claim, fence)
  local limit = claim.limit and digits(claim.limit) or ''
  local text = claim.mode .. limit .. ',' .. digits(claim.ttl) .. ',' .. claim.client .. ' '
  if fence then text = text .. digits(fence) end
  if claim.meta then text = text .. ',' .. claim.meta end
  return 'o' .. claim.owner, text
end

-- The ms until the exclusive lease ends; -1: never.
local function exclusive_left(l)
  if not l.left then l.left = call('PTTL', l.lock) end
  return l.left
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
    in_details = exclusive_left(l)
    if in_details == -1 and call('HEXISTS', l.details, 'o' .. l.holder) == 0 then in_details = 0 end
  else
    local _, left = shared_left(l, true)
    in_queue, in_details = left or 0, left or 0
  end
  expire(l.queue, in_queue >= 0 and in_queue + idle_ms or nil)
  expire(l.details, in_details >= 0 and in_details + idle_ms or nil)
end

-- How many shared leases run.
local function shared_count(l)
  if not l.shared then l.shared = call('ZCOUNT', l.queue, '(' .. digits(now), '(1e15') end
  return l.shared
end

-- The grant rule, apart from who waits.
local function fits(l, claim)
  if l.holder then return false end
  if l.size == 0 then return true end
  local shared = shared_count(l)
  if claim.mode == 'x' then return shared == 0 end
  return claim.limit == nil or shared < claim.limit
end

-- Has these fields of the details deleted when the step is done, together. They must not be set again in it.
local function unnote(l, ...)
  l.fields = l.fields or {}
  for _, field in ipairs({ ... }) do
    table.insert(l.fields, field)
  end
end

-- Makes the claim a holder for `ttl`. A note of it is needed for a meta, and for a grant that is to be confirmed.
local function hold(l, claim, ttl, fence, noted)
  if claim.mode == 'x' then
    if ttl > 0 then
      call('SET', l.lock, claim.owner, 'PX', digits(ttl))
    else
      call('SET', l.lock, claim.owner)
    end
    l.holder, l.left, l.freed = claim.owner, ttl > 0 and ttl or -1, false
    if noted then
      call('HSET', l.details, note_of(claim, fence))
      keep(l)
    elseif l.detailed then
      unnote(l, 'o' .. claim.owner)
    end
  else
    l.size = l.size + call('ZADD', l.queue, digits(ttl > 0 and now + ttl or FOREVER), claim.owner)
    call('HSET', l.details, note_of(claim, fence))
    if l.shared then l.shared = l.shared + 1 end
    keep(l)
  end
end

-- Takes shared holders whose lease has ended out of the queue, some at a time: they do not count anyway.
local function purge(l)
  local gone = call('ZRANGE', l.queue, '-inf', digits(now), 'BYSCORE', 'LIMIT', 0, 100)
  if #gone == 0 then return end
  l.size = l.size - call('ZREM', l.queue, unpack(gone))
  for i, owner in ipairs(gone) do
    gone[i] = 'o' .. owner
  end
  call('HDEL', l.details, unpack(gone))
end

-- Ends a step: deletes what is noted of claims that are over, or all of it when nothing needs it: nobody waits or shares,
-- and nothing is noted of who holds the lock.
local function tidy(l)
  local function needed()
    if l.size > 0 then return true end
    if not l.holder then return false end
    local notes = call('HMGET', l.details, 'o' .. l.holder, 'w' .. l.holder)
    return notes[1] or notes[2]
  end
  if l.fields then call('HDEL', l.details, unpack(l.fields)) end
  if not needed() then call('DEL', l.details) end
end
