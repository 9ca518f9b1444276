local function push(to, ...)
  return call('PUBLISH', channels .. to, cjson.encode({ 2, ... }))
end

-- Whether the claim may be granted now, apart from who waits.
local function fits(l, claim)
  return not guard_ms and has_room(l, claim)
end

-- Takes a claim out of the queue, or a shared holder.
local function take_out(l, owner)
  local removed = call('ZREM', l.queue, owner)
  l.size = l.size - removed
  if l.first and l.first.owner == owner then l.first = nil end
  return removed == 1
end

-- The first claim that waits, with its ticket; false when none does. One of which nothing is noted has no mode.
local function first_waiting(l)
  if l.first == nil then
    local found = l.size > 0 and call('ZRANGE', l.queue, FIRST_TICKET, '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
    local owner = found and found[1]
    if owner then
      local known = call('HMGET', l.details, 'o' .. owner, 'j' .. owner)
      l.first = claim_of(owner, known[1]) or { owner = owner }
      l.first.ticket, l.first.job = tonumber(found[2]), known[2]
    else
      l.first = false
    end
  end
  return l.first
end

-- What field j says of a claim: since when it waits, in ms, and the note of its run.
local function job_of(text)
  local since, comma, note = string.match(text or '', '^(%d+)(,?)(.*)$')
  return tonumber(since), comma == ',' and note or nil
end

-- Where no run is pending, the first that waits becomes it if its owner begins its run.
local function next_run(l)
  if not l.runs or l.runs.pending then return end
  local claim = first_waiting(l)
  if claim and claim.job and not begun_of(l, claim.owner) then
    local _, note = job_of(claim.job)
    become_pending(l, claim.owner, note, now)
  end
end

-- Where it is kept what an owner left: a result, or by whom it was displaced. Texts are well-formed, so none begins with
-- this byte.
local DISPLACED = '\255'
-- Of a run that never began by a word of its owner: what others left with it is gone. No text begins with this byte either.
local UNBEGUN = '\254'
local function left_key(l, owner)
  return string.sub(l.queue, 1, -4) .. ':' .. redis.sha1hex(owner) .. ':r2'
end

-- A run that waits, pending or closed, loses its place without a word from its owner, and what others left with it is gone. Its
-- trigger, if it is made again, must not make another run of this owner, which those others would take for the one they know.
local function leave_word(l, owner)
  local pending = l.runs and l.runs.pending
  -- What is refused for want of memory changes nothing else.
  if pending and pending.owner == owner or begun_of(l, owner) then try('SET', left_key(l, owner), DISPLACED, 'PX', digits(idle_ms)) end
end

-- The claim neither holds nor waits any more. `known`: word was left of that.
local function run_over(l, owner, known)
  if not l.runs then return end
  local pending, unbegun = l.runs.pending, false
  if pending and pending.owner == owner then
    unbegun = drop_notes(l, pending)
    runs_change(l).pending = nil
  end
  local run, i = begun_of(l, owner)
  if run then
    drop_notes(l, run)
    unbegun = run.unasked
    table.remove(runs_change(l).begun, i)
  end
  if unbegun and not known then try('SET', left_key(l, owner), UNBEGUN, 'PX', digits(idle_ms)) end
  next_run(l)
end

-- A claim that left the queue without anybody to be told: its client fell silent, or it was granted.
local function left_queue(l, claim, granted)
  if claim.durable then count_durable(l, -1) end
  if claim.job then l.over[#l.over + 1] = 'j' .. claim.owner end
  if granted then return end
  l.over[#l.over + 1] = 'o' .. claim.owner
  leave_word(l, claim.owner)
  run_over(l, claim.owner, true)
end

-- Whether the client that the claim waits for was heard of lately; and whether it may not hear pushes yet.
local function is_alive(l, claim)
  local alive, unsure = string.match(call('HGET', l.details, 'c' .. claim.client) or '', '^(%d+)(%??)$')
  return alive and tonumber(alive) > now, unsure == '?'
end

-- The first claim that goes on waiting, without those before it whose clients fell silent. Second: whether there is more to
-- do than this call may.
local function head(l)
  while true do
    local claim = first_waiting(l)
    if not claim then return nil, false end
    if claim.mode then
      if claim.durable or claim.client == client then return claim, false end
      if claim.alive == nil then claim.alive, claim.unsure = is_alive(l, claim) end
      if claim.alive then return claim, false end
    end
    if work > long_at_most then return nil, true end
    work = work + 0.25
    take_out(l, claim.owner)
    left_queue(l, claim)
  end
end

-- Where a run's claim stands in the queue, as a ticket; nil when it does not wait.
local function place_of(l, run)
  if run.owner == l.holder or l.size == 0 then return nil end
  local first = l.first
  if first and first.owner == run.owner then return first.ticket end
  local score = tonumber(call('ZSCORE', l.queue, run.owner) or nil)
  return score and score >= FIRST_TICKET and score or nil
end

-- Whether the owner shares the lock.
local function shares(l, owner)
  local ends = l.size > 0 and tonumber(call('ZSCORE', l.queue, owner) or nil)
  return ends and ends > now and ends < FIRST_TICKET
end

-- Reads the lock, takes out runs that are over unnoticed: the lease of their owner ran out, or its client fell silent.
local function open_lock(lock, queue, details, owner)
  local l = lock_at(lock, queue, details, owner)
  if not has_runs(l) then return l end
  local over = {}
  for _, run in ipairs(l.runs.begun) do
    local there = run.owner == l.holder or shares(l, run.owner) or run.unasked and place_of(l, run)
    if not there then over[#over + 1] = run.owner end
  end
  local run = l.runs.pending
  if run and run.owner ~= l.holder then
    -- Mostly it is the first that waits.
    local claim = first_waiting(l)
    if not (claim and claim.owner == run.owner) then
      claim = nil
      if place_of(l, run) then
        local known = call('HMGET', details, 'o' .. run.owner, 'j' .. run.owner)
        claim = claim_of(run.owner, known[1]) or { owner = run.owner }
        claim.job = known[2]
      elseif not shares(l, run.owner) then
        over[#over + 1] = run.owner
      end
    end
    if claim and claim.mode and not claim.durable and claim.client ~= client then
      claim.alive, claim.unsure = is_alive(l, claim)
      if not claim.alive then
        take_out(l, run.owner)
        left_queue(l, claim)
      end
    end
  end
  for _, owner_of_run in ipairs(over) do
    run_over(l, owner_of_run)
  end
  return l
end

-- Tells a claim's client of its grant, and makes it a holder until it confirms that. One that hears nothing is passed over;
-- unless it is still subscribing its channel, or again: then it asks when it has.
local function grant_by_push(l, claim)
  local fence = digits(new_fence())
  mark()
  local receivers = push(claim.client, 'granted', l.lock, claim.owner, fence)
  -- On a cluster the count is that of one node, and says nothing.
  if receivers > 0 or on_cluster == '1' or claim.unsure then
    left_queue(l, claim, true)
    local ttl = claim.ttl ~= '0' and math.min(claim.ttl, grant_ms) or grant_ms
    hold(l, claim, digits(ttl), fence, true)
    return
  end
  call('HDEL', l.details, 'c' .. claim.client)
  left_queue(l, claim)
end

-- Grants what the head of the queue allows, and tells of it: durable claims and those of the calling client by the answer to
-- step `j`, others by a push. Answers whether there is more to do than this call may.
local function advance(l, j)
  while not l.holder do
    local claim, more = head(l)
    if not claim then return more end
    if work > long_at_most then return true end
    next_run(l)
    if not fits(l, claim) or early_ms(l, claim.owner) > 0 then return false end
    local owner = claim.owner
    take_out(l, owner)
    local run = l.runs and l.runs.pending
    if run and run.owner == owner then
      -- A run that was granted is not put off any more.
      if run.not_before then runs_change(l).pending.not_before = nil end
    elseif run and claim.job and not begun_of(l, owner) then
      local _, note = job_of(claim.job)
      begin_alone(l, owner, note)
    end
    if claim.durable or claim.client == client then
      left_queue(l, claim, true)
      local fence = digits(new_fence())
      hold(l, claim, claim.ttl, fence, claim.meta or claim.noted)
      local n = #handed
      handed[n + 1], handed[n + 2], handed[n + 3] = j, owner, fence
      work = work + 0.5
    else
      work = work + 1
      grant_by_push(l, claim)
    end
  end
  return false
end

-- Takes the grant of this owner out of those that were handed from `from` on, and answers its fence.
local function handed_to(owner, from)
  for i = from, #handed, 3 do
    if handed[i + 1] == owner then
      local fence = handed[i + 2]
      for _ = 1, 3 do
        table.remove(handed, i)
      end
      return fence
    end
  end
end

-- The place of the step's owner: a ticket, or the end of a shared lease; nil where it has none.
local function own_score(l)
  if l.score == nil then l.score = l.size > 0 and tonumber(call('ZSCORE', l.queue, l.owner) or nil) or false end
  return l.score or nil
end

-- Notes a claim that waits, and shows its client alive. `sure`: it hears pushes. `job`: since when it waits, and the note of
-- its run; nil for one that begins none.
local function note_waiting(l, claim, sure, job)
  local fields = { 'o' .. claim.owner, note_of(claim) }
  if claim.durable then
    local before = claim.owner == l.owner and claim_of(claim.owner, l.mine)
    if not (before and before.durable and before.fence == '') then count_durable(l, 1) end
  else
    fields[3], fields[4] = 'c' .. client, digits(now + alive_ms) .. (sure and '' or '?')
  end
  if job then
    fields[#fields + 1] = 'j' .. claim.owner
    fields[#fields + 1] = job
  end
  call('HSET', l.details, unpack(fields))
  l.detailed, l.to_keep = true, true
end

-- Puts the claim in the queue unless it is there, and answers the ticket, and whether a claim that brought one was not there
-- any more.
local function enqueue(l, claim, ticket, job)
  local requeued = ticket ~= 'new'
  local place = requeued and own_score(l)
  if place and place >= FIRST_TICKET then
    -- Who waits stays alive also when there is no memory: after this, nothing is refused for want of it.
    call('PERSIST', l.queue)
    ticket, requeued = digits(place), false
  else
    if not requeued then
      local last = l.size > 0 and call('ZRANGE', l.queue, 0, 0, 'REV', 'WITHSCORES')[2]
      ticket = digits(math.max(now_us, FIRST_TICKET, last and last + 1 or 0))
    end
    l.first = nil
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
  note_waiting(l, claim, hears == '1' and not requeued, job)
  return ticket, requeued
end

-- Tells who watches the claim that it is over. Answers what was noted of it.
local function tell_end(l, owner)
  local noted, watched, job
  if owner == l.owner and not l.runs then
    noted, watched = l.mine, l.watched
  elseif detailed(l) then
    local known = call('HMGET', l.details, 'o' .. owner, 'w' .. owner, 'j' .. owner)
    noted, watched, job = known[1], known[2], known[3]
  end
  if noted then l.over[#l.over + 1] = 'o' .. owner end
  if job then l.over[#l.over + 1] = 'j' .. owner end
  if watched then
    l.over[#l.over + 1] = 'w' .. owner
    for watcher, until_ms in string.gmatch(watched, '(%S+) (%d+) ') do
      if tonumber(until_ms) > now then push(watcher, 'ended', l.lock, owner) end
    end
  end
  local claim = claim_of(owner, noted)
  if claim and claim.durable and claim.fence == '' then count_durable(l, -1) end
  return noted
end

-- The claim of this owner is over. Answers what was noted of it.
local function forget(l, owner)
  local noted = tell_end(l, owner)
  run_over(l, owner)
  return noted
end

-- By whom a claim was displaced that neither holds nor waits; '': it lost its place; nil: neither, or it was kept long enough.
-- `unbegun`: '' also for a run that never began.
local function displaced_by(key, unbegun)
  local left = call('GET', key)
  local kind = left and string.sub(left, 1, 1)
  if kind == DISPLACED or unbegun and kind == UNBEGUN then return string.sub(left, 2) end
  return nil, kind
end
