-- `kept`: {ms, text, key} of a result, or nil. Nothing is written until everything was read, and what is written first is
-- never refused for want of memory; from then on the rest is not refused either.
local function release(l, j, owner, kept)
  local was_held, was_here = l.holder == owner, false
  if was_held then
    -- The key is overwritten by who comes next, or deleted below.
    l.holder, l.left, l.freed, l.shared = nil, nil, true, 0
  elseif l.size > 0 then
    local score = tonumber(call('ZSCORE', l.queue, owner) or nil)
    if score then
      was_here = true
      was_held = score > now and score < FIRST_TICKET
      l.size = l.size - call('ZREM', l.queue, owner)
    end
  end
  local more = l.size > 0 and advance(l, j)
  if l.freed then call('DEL', l.lock) end
  local noted = (was_held or was_here) and forget(l, owner)
  -- It may have been the one for whose sake queue and details were to stay for ever.
  if noted and l.size > 0 and (was_here or string.sub(noted, 1, 4) == 'x,0,') then keep(l) end
  if was_held and kept then call('SET', kept.key, kept.text, 'PX', kept.ms) end
  if more then return was_held and '3' or '2' end
  return was_held and '1' or '0'
end
