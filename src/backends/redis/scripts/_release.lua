-- Gives up what the owner holds or waits for, apart from who comes next. Answers whether it held the lock, whether it was in
-- the queue, and what was noted of it.
local function remove(l, owner)
  local was_held, was_here = l.holder == owner, false
  if was_held then
    -- The key is overwritten by who comes next, or deleted in the end.
    l.holder, l.left, l.freed, l.shared = nil, nil, true, 0
  elseif l.size > 0 then
    local score = tonumber(call('ZSCORE', l.queue, owner) or nil)
    if score then
      was_here = true
      was_held = score > now and score < FIRST_TICKET
      l.shared, l.score = nil, nil
      take_out(l, owner)
    end
  end
  local noted = (was_held or was_here) and forget(l, owner)
  -- It may have been the one for whose sake queue and details were to stay for ever.
  if noted and (was_here or string.find(noted, '^xn?d?,0,')) then l.to_keep = true end
  return was_held
end

-- `kept`: {ms, text, key} of a result, or nil. Nothing is written until everything was read, and what is written first is
-- never refused for want of memory; from then on the rest is not refused either.
local function release(l, j, owner, kept)
  local was_held = remove(l, owner)
  local more = l.size > 0 and advance(l, j)
  if l.freed then
    call('DEL', l.lock)
    l.freed = false
  end
  if was_held and kept then call('SET', kept.key, kept.text, 'PX', kept.ms) end
  if more then return was_held and '3' or '2' end
  return was_held and '1' or '0'
end
