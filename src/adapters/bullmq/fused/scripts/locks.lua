-- The steps of a lock, done by the locks' own script, and what follows from them for jobs: who is granted its lock is woken,
-- and who is gone gives it up.
local QUEUE_OWNER = 'bullmq'

-- Does one step. `words`: its terms and what follows them. `leaves`: it is one for which the key of what its owner leaves is
-- needed. Answers its letter, what that leaves open, and who was granted a lock.
local function step(terms, owner, words, leaves)
  local keys = { '{' .. terms.prefix .. '}:f2', terms.key, terms.queue, terms.details }
  if leaves then keys[5] = '{' .. terms.key .. '}:' .. redis.sha1hex(owner) .. ':r2' end
  local argv = { '- 0 0 ' .. (leaves and '1 ' or '0 ') .. QUEUE_OWNER .. ' ' .. terms.prefix .. 'grants:', owner }
  for i, word in ipairs(words) do
    argv[2 + i] = word
  end
  while true do
    local reply = lock_steps(keys, argv)
    if type(reply) ~= 'table' then
      if reply == '1' then return '1', nil, {} end
      return 'G', reply, {}
    end
    local letters = reply[2]
    local letter = string.sub(letters, 1, 1)
    local granted = {}
    if string.sub(letters, -1) == '+' then
      local rows = reply[#reply]
      for i = 1, #rows, 3 do
        granted[#granted + 1] = rows[i + 1]
      end
    end
    if letter == 'e' then error(reply[3]) end
    -- Else it had too much to do, and did some of it.
    if letter ~= 'a' then return letter, letter == 'g' and reply[1] or reply[3], granted end
  end
end

-- How many that are gone one call passes over. The sweep goes on.
local MOST_GONE = 50

-- Whether the owner has the lock, alone or with others.
local function holds(terms, owner)
  if call('GET', terms.key) == owner then return true end
  local ends = terms.limit > 0 and tonumber(call('ZSCORE', terms.queue, owner) or nil)
  return ends and ends > now_ms() and ends < 1000000000000000
end

-- Begins the run of who has the lock. Answers the notes that were left with it, as a JSON list; nil when there are none.
local function begin(terms, owner)
  if call('EXISTS', terms.details) == 0 then return nil end
  local letter, notes = step(terms, owner, { '*' }, true)
  if letter ~= 'B' or #notes == 0 then return nil end
  local texts = {}
  for i = 1, #notes, 2 do
    -- What it was added with is its data.
    if notes[i] ~= owner then texts[#texts + 1] = notes[i + 1] end
  end
  return #texts > 0 and cjson.encode(texts) or nil
end

-- Begins the run of who has a period. That may be over before a worker takes the job up, so the notes go to the job.
local function begin_period(terms, owner, job_key)
  local notes = begin(terms, owner)
  if notes then call('HSET', job_key, 'sln', notes) end
  return notes
end

-- Gives up a claim, and whatever that grants to jobs that are gone; wakes the others. Answers whether the owner held the lock.
local settle
local function release_one(terms, owner, granted)
  local letter, others, held
  repeat
    local answer, _, more = step(terms, owner, { '' })
    letter, others = answer, more
    held = held or letter == '1' or letter == '3'
    for _, other in ipairs(others) do
      granted[#granted + 1] = other
    end
    -- Else there is more to grant than one step may.
  until letter ~= '3' and letter ~= '2'
  return held
end

local function release(terms, owner)
  local granted = {}
  local held = release_one(terms, owner, granted)
  settle(terms, granted)
  return held
end

-- These were granted the lock.
settle = function(terms, granted)
  local gone, next = 0, 1
  while granted[next] do
    local owner = granted[next]
    local job = look_at(owner, terms.key)
    if job and (job.over or job.period and not job.timestamp) then
      gone = gone + 1
      if gone > MOST_GONE then
        call('ZADD', job.queue .. 'soloist', #terms.prefix, terms.key)
      else
        release_one(terms, owner, granted)
      end
    elseif job then
      if job.period then begin_period(terms, owner, job.key) end
      wake(job)
    end
    next = next + 1
  end
end

-- The first that waits for the lock, or nil.
local function head_of(terms)
  local head = call('ZRANGE', terms.queue, 1000000000000000, '+inf', 'BYSCORE', 'LIMIT', 0, 1)[1]
  return head
end

-- Gives up what the lock's holders hold whose jobs are over. Answers who holds it now, as `look_at` tells, or nil: nobody, or
-- nobody of BullMQ; and their owner.
-- `lost` is set when one of them was gone.
local lost = false
local function live_holder(terms)
  while true do
    local holder = call('GET', terms.key)
    if not holder then return nil, nil end
    local job = look_at(holder, terms.key)
    if not job or not job.over then return job, holder end
    lost = lost or not job.timestamp
    release(terms, holder)
  end
end

-- The same for those who share it. Answers how many are left.
local function live_sharers(terms)
  local owners = call('ZRANGE', terms.queue, digits(now_ms()), '(1000000000000000', 'BYSCORE', 'LIMIT', 0, 200)
  local left = 0
  for _, owner in ipairs(owners) do
    local job = look_at(owner, terms.key)
    if job and job.over then
      release(terms, owner)
    else
      left = left + 1
    end
  end
  return left
end

-- A period ends by itself, and wakes nobody: whoever waits first looks then.
local function rearm(terms)
  local left = call('PTTL', terms.key)
  local head = left > 0 and head_of(terms)
  local job = head and job_of(head)
  if job and call('HEXISTS', job.key, 'slw') == 1 then
    if call('ZADD', job.queue .. 'delayed', 'XX', 'CH', digits((now_ms() + left + 1) * 4096), job.id) == 1 then
      call('HSET', job.key, 'delay', digits(left + 1))
      delay_marker(job.queue, job.id)
    end
  end
end

-- A number that rises with each run of a lock.
local function new_fence(terms)
  local mark = '{' .. terms.prefix .. '}:f2'
  local fence = call('INCR', mark)
  -- The mark may have expired. Since then the clock has passed it.
  if fence < 1000000000000000 then
    fence = now_us()
    call('SET', mark, digits(fence), 'PX', IDLE_MS)
  end
  return digits(fence)
end
