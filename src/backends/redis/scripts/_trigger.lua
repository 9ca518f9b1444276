-- Who was granted the lock first of those who hold it; of many that share it, of the hundred whose leases end first.
local function first_holder(l)
  if l.holder or l.size == 0 then return l.holder end
  local owners = call('ZRANGE', l.queue, '(' .. digits(now), '(1e15', 'BYSCORE', 'LIMIT', 0, 100)
  if #owners < 2 then return owners[1] end
  local fields, first, least = {}, owners[1], nil
  for i, owner in ipairs(owners) do
    fields[i] = 'o' .. owner
  end
  for i, text in ipairs(call('HMGET', l.details, unpack(fields))) do
    local claim = claim_of(owners[i], text)
    local fence = claim and tonumber(claim.fence)
    if fence and (not least or fence < least) then
      first, least = owners[i], fence
    end
  end
  return first
end

-- Adds to a list whom a trigger sees: the running, the pending and the waiting run, of each its owner, or '', and for how
-- long, in ms, or ''. The claim that asks counts as nobody.
local function add_seen(l, list, asking)
  local pending = l.runs and l.runs.pending
  local function add(owner, since)
    list[#list + 1] = owner or ''
    list[#list + 1] = owner and since and digits(math.max(now - since, 0)) or ''
  end
  local function held_since(owner)
    local claim = claim_of(owner, call('HGET', l.details, 'o' .. owner))
    return claim and claim.fence ~= '' and math.floor(claim.fence / 1000) or nil
  end
  local function waits_since(claim)
    return (job_of(claim.job)) or math.floor(claim.ticket / 1000)
  end
  local holder = first_holder(l)
  local first = first_waiting(l)
  if holder and holder ~= asking and not (pending and pending.owner == holder) then
    add(holder, held_since(holder))
  else
    add(nil)
  end
  if not pending or pending.owner == asking then
    add(nil)
  elseif first and first.owner == pending.owner then
    add(first.owner, waits_since(first))
  else
    local place = place_of(l, pending)
    if place then
      add(pending.owner, waits_since({ ticket = place, job = call('HGET', l.details, 'j' .. pending.owner) }))
    else
      add(pending.owner, held_since(pending.owner))
    end
  end
  if first and first.owner ~= asking and not (pending and pending.owner == first.owner) then
    add(first.owner, waits_since(first))
  else
    add(nil)
  end
  return list
end

-- The answers to a trigger.
local function granted(l, owner, fence, seen)
  local pending = l.runs and l.runs.pending
  seen[7] = pending and pending.owner == owner and '1' or '0'
  return 't', { fence, unpack(seen) }
end
local function queued(l, ticket, seen)
  local _, told = busy(l, false, ticket, false)
  for i = 1, #seen do
    told[4 + i] = seen[i]
  end
  return 'q', told
end
local function met(noted, seen)
  return 'm', { noted or '', unpack(seen) }
end

-- Before when a run is not to start that was first asked for at `first`; nil: none.
local function due(t, first)
  return t.wait and math.min(now + t.wait, first + t.most) or nil
end

-- A claim that waits since now, with the note of its run.
local function job_with(note)
  return digits(now) .. (note and ',' .. note or '')
end

-- The claim takes the place of the pending run: its ticket, or the lock that it holds.
local function displace(l, j, claim, t, seen)
  local owner, before = claim.owner, l.runs.pending
  local place = place_of(l, before)
  local first = not place and first_waiting(l)
  -- This may be refused for want of memory. Nothing was written before.
  call('SET', left_key(l, before.owner), DISPLACED .. owner, 'PX', t.keep)
  tell_end(l, before.owner)
  if before.owner == l.holder then
    l.holder, l.left, l.freed, l.shared = nil, nil, true, 0
  else
    l.shared = nil
    take_out(l, before.owner)
  end
  drop_notes(l, before)
  become_pending(l, owner, t.note, before.first, due(t, before.first) or before.not_before)
  if not place and not t.wait and fits(l, claim) then
    local _, fence = grant(l, claim)
    if not t.begins then
      begin_run(l, owner)
      next_run(l)
    end
    return granted(l, owner, fence, seen)
  end
  place = place or math.min(now_us, first and first.ticket - 1 or now_us)
  l.size = l.size + call('ZADD', l.queue, digits(place), owner)
  l.first = nil
  note_waiting(l, claim, hears == '1', job_with(t.note))
  -- It may fit where the run before did not.
  local from = #handed + 1
  advance(l, j)
  local fence = handed_to(owner, from)
  if fence then return granted(l, owner, fence, seen) end
  return queued(l, digits(place), seen)
end

-- The answer to a trigger that was made before; nothing: it was not.
local function repeated(l, claim, t, key, seen)
  local owner = claim.owner
  local score = l.holder ~= owner and own_score(l)
  if l.holder == owner or score and score > now and score < FIRST_TICKET then
    claim.mode = l.holder == owner and 'x' or 's'
    local _, fence = grant(l, claim, true)
    return granted(l, owner, fence, seen)
  end
  if score and score >= FIRST_TICKET then return queued(l, enqueue(l, claim, digits(score)), seen) end
  local by, kind = displaced_by(key)
  if by then return 'd', { by } end
  -- Of an earlier run of this owner.
  if kind == UNBEGUN then call('DEL', key) end
  local noted = noted_with(l, owner)
  if noted then return met(noted, seen) end
end

local function trigger(l, j, claim, t, key)
  local owner = claim.owner
  if t.without then
    remove(l, t.without)
    -- Who triggers now may be who is removed.
    forget_over(l)
  end
  local from, more, _ = #handed + 1, false, nil
  if l.size > 0 then
    if l.holder then
      _, more = head(l)
    else
      more = advance(l, j)
    end
    -- What was noted of the owner's claim has changed if it was granted.
    l.score = nil
  end
  local fence = handed_to(owner, from)
  if more and not fence then return 'a' end
  forget_over(l)
  next_run(l)
  local seen = add_seen(l, {}, owner)
  if fence then return granted(l, owner, fence, seen) end
  local letter, told = repeated(l, claim, t, key, seen)
  if letter then return letter, told end

  local pending = l.runs and l.runs.pending
  local free = not first_waiting(l) and has_room(l, claim)
  if free and not t.wait and not guard_ms then
    _, fence = grant(l, claim)
    if t.begins and not pending then
      become_pending(l, owner, t.note, now)
    elseif t.begins then
      begin_alone(l, owner, t.note)
    end
    return granted(l, owner, fence, seen)
  end
  local action = pending and t.pending or free and 'f' or t.running
  if action == 'm' then return met(nil, seen) end
  if action == 'w' then
    local ticket = enqueue(l, claim, 'new', t.begins and job_with(t.note) or nil)
    if t.begins then
      runs_change(l)
      next_run(l)
    end
    return queued(l, ticket, seen)
  end
  if not pending then
    local ticket = enqueue(l, claim, 'new', job_with(t.note))
    become_pending(l, owner, t.note, now, due(t, now))
    return queued(l, ticket, seen)
  end
  if action == 'f' then
    if t.note then add_note(l, pending, owner, t.note) end
    -- A run that was granted is not put off any more.
    if t.wait and place_of(l, pending) then
      runs_change(l)
      pending.not_before = due(t, pending.first)
    end
    return met(pending.owner, seen)
  end
  return displace(l, j, claim, t, seen)
end

-- Closes a run that waits and is not the pending one: nobody will add to it, nor take its place.
local function close_waiting(l, owner)
  local pending = l.runs and l.runs.pending
  if pending and pending.owner == owner or begun_of(l, owner) then return end
  local since, note = job_of(call('HGET', l.details, 'j' .. owner))
  if not since then return end
  local runs = runs_change(l)
  local run = { owner = owner, from = first_note(runs), count = 0, unasked = true }
  runs.begun[#runs.begun + 1] = run
  if note then add_note(l, run, owner, note) end
end

-- `of`: the step is that of a trigger which takes back what it left with the run; '' or nil: that of who runs.
local function begin(l, j, owner, key, of)
  local unasked = of and of ~= '' or nil
  local more = not l.holder and l.size > 0 and advance(l, j)
  local holds = l.holder == owner or shares(l, owner)
  local waits = unasked and not holds and (own_score(l) or 0) >= FIRST_TICKET
  if holds or waits then
    -- After this, nothing is refused for want of memory.
    if waits or l.runs and l.runs.pending then
      call('PERSIST', l.details)
      l.to_keep = true
    end
    if waits then close_waiting(l, owner) end
    local run = begin_run(l, owner, unasked)
    next_run(l)
    if unasked then return 'B', take_back(l, run, of) end
    return 'B', run and notes_with(l, run) or {}
  end
  if more then return 'a' end
  local by = displaced_by(key, unasked)
  if by then return 'd', { by } end
  return 'l'
end
