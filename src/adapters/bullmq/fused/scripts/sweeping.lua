-- Sets one lock right. Answers whether it gave anything up.
local function sweep(queue, terms)
  local job, holder = live_holder(terms)
  local before = call('ZCARD', terms.queue)
  live_sharers(terms)
  -- One that was granted its lock by somebody who knows nothing of jobs has not been told.
  if job then wake(job) end
  if not holder then
    local head = head_of(terms)
    local left = MOST_GONE
    while head and left > 0 and not call('GET', terms.key) do
      left = left - 1
      local waiting = look_at(head, terms.key)
      if waiting and waiting.over then
        release(terms, head)
      else
        -- To release what nobody has lets the first that waits be granted.
        release(terms, 'nobody')
        if head_of(terms) == head then break end
      end
      head = head_of(terms)
    end
  end
  if call('ZCARD', terms.queue) == 0 then call('ZREM', queue .. 'soloist', terms.key) end
end
