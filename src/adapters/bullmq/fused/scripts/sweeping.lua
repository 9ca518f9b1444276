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
  -- Who has it may be ended by somebody who knows nothing of locks, and gives none up.
  if call('EXISTS', terms.key, terms.queue) == 0 then call('ZREM', queue .. 'soloist', terms.key) end
end

-- Does that with some of the locks that jobs of the queue wait for.
local function sweep_some(queue, with)
  local some = call('ZRANDMEMBER', queue .. 'soloist', 500, 'WITHSCORES')
  for i = 1, #some, 2 do
    with(terms_of('!ej,0,0,0,' .. some[i + 1] .. ' ' .. some[i]))
  end
end
