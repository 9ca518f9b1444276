local function push(to, ...)
  return call('PUBLISH', ARGV[1] .. to, cjson.encode({ 2, ... }))
end

-- Tells a client that is not the calling one of its grant, and makes it a holder until it confirms that. One that was not
-- heard of for a while, or hears nothing, is passed over; unless it is still subscribing its channel, or again: then it asks
-- when it has.
local function grant_by_push(l, claim)
  local alive, unsure = string.match(call('HGET', l.details, 'c' .. claim.client) or '', '^(%d+)(%??)$')
  alive = alive and tonumber(alive) > now
  if alive and not fits(l, claim) then return false end
  l.size = l.size - call('ZREM', l.queue, claim.owner)
  work = work + (alive and 1 or 0.25)
  if alive then
    local fence = digits(new_fence())
    mark()
    local receivers = push(claim.client, 'granted', l.lock, claim.owner, fence)
    -- On a cluster the count is that of one node, and says nothing.
    if receivers > 0 or on_cluster == '1' or unsure == '?' then
      local ttl = claim.ttl ~= '0' and math.min(claim.ttl, grant_ms) or grant_ms
      hold(l, claim, digits(ttl), fence, true)
      return true
    end
    call('HDEL', l.details, 'c' .. claim.client)
  end
  l.over[#l.over + 1] = 'o' .. claim.owner
  return true
end

-- Grants what the head of the queue allows, and tells of it: claims of the calling client by the answer to step `j`, others
-- by a push. Answers whether there is more to do than this call may.
local function advance(l, j)
  while not l.holder do
    local head = call('ZRANGE', l.queue, FIRST_TICKET, '+inf', 'BYSCORE', 'LIMIT', 0, 1)[1]
    if not head then return false end
    if work > long_at_most then return true end
    local claim = noted_claim(l, head)
    if not claim then
      l.size = l.size - call('ZREM', l.queue, head)
      work = work + 0.25
    elseif claim.client == client then
      if not fits(l, claim) then return false end
      l.size = l.size - call('ZREM', l.queue, head)
      local fence = digits(new_fence())
      hold(l, claim, claim.ttl, fence, claim.meta or claim.noted)
      local n = #handed
      handed[n + 1], handed[n + 2], handed[n + 3] = j, head, fence
      work = work + 0.5
    elseif not grant_by_push(l, claim) then
      return false
    end
  end
  return false
end

-- Puts the claim in the queue unless it is there, shows its client alive, and answers the ticket, and whether a claim that
-- brought one was not there any more.
local function enqueue(l, claim, ticket)
  local requeued = ticket ~= 'new'
  local place = requeued and tonumber(call('ZSCORE', l.queue, claim.owner) or nil)
  if place and place >= FIRST_TICKET then
    -- Who waits stays alive also when there is no memory: after this, nothing is refused for want of it.
    call('PERSIST', l.queue)
    ticket, requeued = digits(place), false
  else
    if not requeued then
      local last = l.size > 0 and call('ZRANGE', l.queue, 0, 0, 'REV', 'WITHSCORES')[2]
      ticket = digits(math.max(now_us, FIRST_TICKET, last and last + 1 or 0))
    end
    if call('ZADD', l.queue, 'NX', ticket, claim.owner) == 1 then
      l.size = l.size + 1
    else
      place = tonumber(call('ZSCORE', l.queue, claim.owner))
      if place < FIRST_TICKET then
        -- Of a shared lease of this owner that has ended.
        call('ZADD', l.queue, ticket, claim.owner)
      else
        ticket, requeued = digits(place), false
      end
    end
  end
  -- Who lost its place was perhaps not reached.
  local sure = hears == '1' and not requeued
  local alive = digits(now + alive_ms) .. (sure and '' or '?')
  call('HSET', l.details, 'o' .. claim.owner, note_of(claim), 'c' .. client, alive)
  keep(l)
  return ticket, requeued
end

-- The claim of this owner is over: who watches it is told. Answers what was noted of it.
local function forget(l, owner)
  if not l.detailed then return nil end
  local notes = call('HMGET', l.details, 'o' .. owner, 'w' .. owner)
  l.over[#l.over + 1] = 'o' .. owner
  if notes[2] then
    l.over[#l.over + 1] = 'w' .. owner
    for watcher, until_ms in string.gmatch(notes[2], '(%S+) (%d+) ') do
      if tonumber(until_ms) > now then push(watcher, 'ended', l.lock, owner) end
    end
  end
  return notes[1]
end
