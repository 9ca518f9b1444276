-- `again`: the owner holds the lock already, and keeps the fence it was granted with if that was noted.
local function grant(l, claim, again)
  local noted = again and claim_of(claim.owner, l.mine)
  local fence = noted and noted.fence ~= '' and noted.fence
  local has_note = fence or claim.meta or claim.noted
  fence = fence or digits(new_fence())
  hold(l, claim, claim.ttl, fence, has_note)
  -- It may have waited, when it took the lock from its holder.
  if claim.mode == 'x' and l.size > 0 and take_out(l, claim.owner) then
    local before = claim_of(claim.owner, l.mine)
    if before and before.durable and before.fence == '' then count_durable(l, -1) end
  end
  return 'G', fence
end

local function busy(l, more, ticket, requeued)
  local holder, left = l.holder, nil
  if holder then
    l.left = l.left or call('PTTL', l.lock)
    left = l.left
  else
    holder, left = shared_left(l, false)
  end
  if guard_ms and left ~= -1 then left = math.max(left or 0, guard_ms) end
  local run = l.runs and l.runs.pending
  local early = run and early_ms(l, run.owner) or 0
  if early > 0 then
    -- Nothing is granted before the head's time has come, nor before it fits.
    local first = first_waiting(l)
    if first and first.owner == run.owner then
      if fits(l, first) then
        left = early
      elseif left and left >= 0 then
        left = math.max(left, early)
      end
    end
  end
  local ms = ''
  if more then
    ms = '0'
  elseif left and left >= 0 then
    ms = digits(math.max(left, 1))
  end
  return 'b', { holder or '', ms, ticket, requeued and '1' or '0' }
end

-- Nobody holds the lock exclusively, but some share it or wait for it, or did.
local function acquire_among(l, j, claim, ticket)
  local owner = claim.owner
  local score = own_score(l)
  if score and score > now and score < FIRST_TICKET then
    claim.mode = 's'
    return grant(l, claim, true)
  end
  -- Shared holders whose lease has ended do not count anyway: they are taken out some at a time.
  local gone = call('ZRANGE', l.queue, '-inf', digits(now), 'BYSCORE', 'LIMIT', 0, 100)
  if #gone > 0 then
    l.size = l.size - call('ZREM', l.queue, unpack(gone))
    for i, one in ipairs(gone) do
      gone[i] = 'o' .. one
    end
    call('HDEL', l.details, unpack(gone))
  end
  local others = call('ZCOUNT', l.queue, FIRST_TICKET, '+inf') > 0
  if not others and fits(l, claim) then return grant(l, claim) end
  local more, requeued = false, false
  if ticket ~= '' then ticket, requeued = enqueue(l, claim, ticket) end
  if others then
    local from = #handed + 1
    more = advance(l, j)
    local fence = handed_to(owner, from)
    if fence then return 'G', fence end
    others = more or call('ZCOUNT', l.queue, FIRST_TICKET, '+inf') > 0
    if ticket == '' and not others and fits(l, claim) then return grant(l, claim) end
  end
  return busy(l, more, ticket, requeued)
end

-- The claim takes from an owner that shares the lock or waits for it what that has. Nothing: it has neither.
local function replace(l, j, claim, ticket, replaces)
  local mine, score = own_score(l), tonumber(call('ZSCORE', l.queue, replaces) or nil)
  if not score or score <= now then return end
  local waits = mine and mine >= FIRST_TICKET
  if mine and mine > now and not waits then return end
  if score < FIRST_TICKET then
    if claim.mode ~= 's' or guard_ms then return end
    local before = waits and take_out(l, claim.owner) and claim_of(claim.owner, l.mine)
    if before and before.durable then count_durable(l, -1) end
    local letter, fence = grant(l, claim)
    take_out(l, replaces)
    forget(l, replaces)
    l.shared = nil
    return letter, fence
  end
  if ticket == '' or waits and mine <= score then return end
  if waits then
    call('ZADD', l.queue, digits(score), claim.owner)
    l.first = nil
  else
    enqueue(l, claim, digits(score))
  end
  take_out(l, replaces)
  forget(l, replaces)
  l.score = nil
  -- It may fit where the other did not.
  local from = #handed + 1
  local more = not l.holder and advance(l, j)
  local fence = handed_to(claim.owner, from)
  if fence then return 'G', fence end
  return busy(l, more, digits(score), false)
end

local function acquire(l, j, claim, ticket, replaces)
  if replaces and not l.holder and l.size > 0 then
    -- Whom it is to replace may wait and have only to be granted the lock, which is taken from it then.
    local from = #handed + 1
    advance(l, j)
    l.score = nil
    local fence = handed_to(claim.owner, from)
    if fence then return 'G', fence end
  end
  if l.holder == claim.owner then
    claim.mode = 'x'
    return grant(l, claim, true)
  end
  if tonumber(ticket) and not own_score(l) and displaced_by(left_key(l, claim.owner)) then
    local more = l.size > 0 and advance(l, j)
    return busy(l, more, '', false)
  end
  if replaces and replaces ~= l.holder and l.size > 0 then
    local letter, told = replace(l, j, claim, ticket, replaces)
    if letter then return letter, told end
  end
  if l.holder then
    if replaces == l.holder and claim.mode == 'x' and not guard_ms then
      local before = l.holder
      local letter, fence = grant(l, claim)
      forget(l, before)
      return letter, fence
    end
    local requeued = false
    if ticket ~= '' then ticket, requeued = enqueue(l, claim, ticket) end
    return busy(l, false, ticket, requeued)
  end
  if l.size == 0 and not guard_ms then return grant(l, claim) end
  return acquire_among(l, j, claim, ticket)
end
