local function grant(l, claim)
  local fence = new_fence()
  hold(l, claim, claim.ttl, fence, claim.meta ~= nil)
  -- It may have waited, when it took the lock from its holder.
  if claim.mode == 'x' and l.size > 0 then l.size = l.size - call('ZREM', l.queue, claim.owner) end
  return 'G', digits(fence)
end

-- Grants once more what this owner holds, with the fence it was granted with, if that was noted.
local function grant_again(l, claim)
  local noted = l.detailed and noted_claim(l, claim.owner)
  local fence = noted and tonumber(noted.fence)
  if not fence then return grant(l, claim) end
  hold(l, claim, claim.ttl, fence, true)
  return 'G', digits(fence)
end

local function busy(l, more, ticket, requeued)
  local holder, left = l.holder, nil
  if holder then
    left = exclusive_left(l)
  else
    holder, left = shared_left(l, false)
  end
  local ms = ''
  if more then
    ms = '0'
  elseif left and left >= 0 then
    ms = digits(math.max(left, 1))
  end
  return 'b', { holder or '', ms, ticket, requeued and '1' or '0' }
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

local function acquire(l, j, claim, ticket, replaces)
  local owner = claim.owner
  if l.holder == owner then
    claim.mode = 'x'
    return grant_again(l, claim)
  end
  local more, requeued = false, false
  if l.holder then
    if replaces == l.holder and claim.mode == 'x' then
      local before = l.holder
      local letter, fence = grant(l, claim)
      forget(l, before)
      return letter, fence
    end
    if ticket ~= '' then ticket, requeued = enqueue(l, claim, ticket) end
    return busy(l, false, ticket, requeued)
  end
  if l.size == 0 then return grant(l, claim) end

  local score = tonumber(call('ZSCORE', l.queue, owner) or nil)
  if score and score > now and score < FIRST_TICKET then
    claim.mode = 's'
    return grant_again(l, claim)
  end
  purge(l)
  local function waiting()
    return call('ZCOUNT', l.queue, FIRST_TICKET, '+inf') > 0
  end
  local others = waiting()
  if not others and fits(l, claim) then return grant(l, claim) end
  if ticket ~= '' then ticket, requeued = enqueue(l, claim, ticket) end
  if others then
    local from = #handed + 1
    more = advance(l, j)
    local fence = handed_to(owner, from)
    if fence then return 'G', fence end
    if ticket == '' and not more and fits(l, claim) and not waiting() then return grant(l, claim) end
  end
  return busy(l, more, ticket, requeued)
end
