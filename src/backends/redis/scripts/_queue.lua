-- How much this call has done, in long steps.
local work = 0

local function push(to, ...)
  return call('PUBLISH', ARGV[1] .. to, cjson.encode({ 2, ... }))
end

-- Whether a client counts as alive, and whether pushes to it may be missed: it is still subscribing its channel, or again.
local function reachable(l, of)
  local until_ms, unsure = string.match(call('HGET', l.details, 'c' .. of) or '', '^(%d+)(%??)$')
  return until_ms and tonumber(until_ms) > now, unsure == '?'
end

-- Grants what the head of the queue allows, and tells of it: claims of the calling client by the answer to step `j`, others
-- by a push. Who cannot be told is passed over. Answers whether there is more to do than this call may.
local function advance(l, j)
  while not l.holder do
    local head = call('ZRANGE', l.queue, FIRST_TICKET, '+inf', 'BYSCORE', 'LIMIT', 0, 1)[1]
    if not head then return false end
    if work > long_at_most then return true end
    local claim = noted_claim(l, head)
    local at_home = claim and claim.client == client
    local alive, unsure = at_home, false
    if claim and not at_home then alive, unsure = reachable(l, claim.client) end
    if alive and not fits(l, claim) then return false end
    l.size = l.size - call('ZREM', l.queue, head)
    if at_home then
      local fence = new_fence()
      hold(l, claim, claim.ttl, fence, claim.meta ~= nil)
      for _, part in ipairs({ j, head, digits(fence) }) do
        table.insert(handed, part)
      end
      work = work + 0.5
    elseif alive then
      local fence = new_fence()
      mark()
      local receivers = push(claim.client, 'granted', l.lock, head, digits(fence))
      -- On a cluster the count is that of one node, and says nothing.
      if receivers > 0 or on_cluster or unsure then
        hold(l, claim, claim.ttl > 0 and math.min(claim.ttl, grant_ms) or grant_ms, fence, true)
      else
        call('HDEL', l.details, 'o' .. head, 'c' .. claim.client)
      end
      work = work + 1
    else
      unnote(l, 'o' .. head)
      work = work + 0.25
    end
  end
  return false
end

-- Puts the claim in the queue unless it is there, shows its client alive, and answers the ticket, and whether a claim that
-- brought one was not there any more.
local function enqueue(l, claim, ticket)
  local requeued = ticket ~= 'new'
  if not requeued then
    local last = l.size > 0 and call('ZRANGE', l.queue, 0, 0, 'REV', 'WITHSCORES')[2]
    ticket = digits(math.max(now_us, FIRST_TICKET, last and tonumber(last) + 1 or 0))
  end
  if call('ZADD', l.queue, 'NX', ticket, claim.owner) == 1 then
    l.size = l.size + 1
  else
    local place = tonumber(call('ZSCORE', l.queue, claim.owner))
    if place < FIRST_TICKET then
      -- Of a shared lease of this owner that has ended.
      call('ZADD', l.queue, ticket, claim.owner)
    else
      ticket, requeued = digits(place), false
    end
  end
  local field, text = note_of(claim, nil)
  -- Who lost its place was perhaps not reached.
  local sure = hears and not requeued
  call('HSET', l.details, field, text, 'c' .. client, digits(now + alive_ms) .. (sure and '' or '?'))
  keep(l)
  return ticket, requeued
end

-- The claim of this owner is over: who watches it is told. Answers what was noted of it.
local function forget(l, owner)
  if not l.detailed then return nil end
  local notes = call('HMGET', l.details, 'o' .. owner, 'w' .. owner)
  unnote(l, 'o' .. owner, 'w' .. owner)
  for watcher, until_ms in string.gmatch(notes[2] or '', '(%S+) (%d+) ') do
    if tonumber(until_ms) > now then push(watcher, 'ended', l.lock, owner) end
  end
  return notes[1]
end
