-- What all the scripts of this folder share. Each is run with the text of a script of BullMQ, which is a function in it, and
-- with that of the locks, `lock_steps`. The parts are put together in `../texts.ts`.
--
-- A job tells its terms in its options, as `singleton`, see `../../lock/terms.ts`. Fields of a job's hash that are ours:
--   slw  it waits for its lock, in `delayed`, far away; the ms before which its own delay does not let it start, or 0
--   slt  the token with which it was taken up last by a worker of ours whose tokens do not begin with 'soloist-'
--   slb  it has begun, and gave its lock up with that (`untilExecuting`)
--   sln  the notes that were left with it, as a JSON list, once it had its period
--   slm  how many notes its data holds already
--   sls  the owner that wants it to stop
--   sla  by which call it was added, where its id is its caller's
-- And of a queue: `soloist`, a sorted set of the locks that its jobs wait for; `soloist-swept`, whether a sweep was made lately.
local call = redis.call
local FAR = 31536000000
local LOOK_AT_STRANGERS_MS = 1000
local LOOK_AT_OTHERS_MS = 5000

local read_us
local function now_us()
  if not read_us then
    local time = call('TIME')
    read_us = time[1] * 1000000 + time[2]
  end
  return read_us
end

local function now_ms()
  return math.floor(now_us() / 1000)
end

local function digits(number)
  return string.format('%.0f', number)
end

-- The owner of a job: 'bullmq:<prefix>:<queue>:<id>', see `../../lock/owner.ts`.
local ESCAPED = { ['%'] = '%25', [':'] = '%3A', ['#'] = '%23' }
local function owner_of(queue, id, terms)
  return 'bullmq:' .. queue .. (string.gsub(id, '[%%:#]', ESCAPED)) .. (terms.mode == 'x' and '#set' or '')
end

-- The job an owner stands for; nil when it is none of BullMQ.
local function job_of(owner)
  local queue, id = string.match(owner, '^bullmq:(.*:)([^:]*)$')
  if not queue then return nil end
  local plain, mark = string.match(id, '^([^#]*)#?(.*)$')
  plain = string.gsub(plain, '%%(%x%x)', function(hex)
    return string.char(tonumber(hex, 16))
  end)
  return { owner = owner, queue = queue, id = plain, key = queue .. plain, period = mark == 'set' }
end

local function terms_of(text)
  local mode, strategy, flags, limit, ttl, start, key = string.match(text, '^!(%l)(%l)(%l*),(%d+),(%d+),%d+,(%d+) (.*)$')
  -- With `u` the steps of its lock are calls of their own.
  if not mode or string.find(flags, 'u', 1, true) then return nil end
  return {
    mode = mode,
    strategy = strategy,
    flags = flags,
    limit = tonumber(limit),
    ttl = ttl,
    prefix = string.sub(key, 1, start),
    key = key,
    queue = '{' .. key .. '}:q2',
    details = '{' .. key .. '}:d2',
  }
end

-- The terms that a job's options tell, or nil.
local function terms_in(opts)
  local text = opts and string.match(opts, '"singleton":"(![^"]*)"')
  return text and terms_of((string.gsub(text, '\\/', '/')))
end

local function has(terms, flag)
  return string.find(terms.flags, flag, 1, true) ~= nil
end

-- Reads what tells whether the job of an owner is over: it is gone, has finished, or has another lock.
local function look_at(owner, key)
  local job = job_of(owner)
  if not job then return nil end
  local fields = call('HMGET', job.key, 'timestamp', 'finishedOn', 'processedOn', 'slt', 'opts')
  job.timestamp, job.finished, job.started, job.token = fields[1], fields[2], fields[3], fields[4]
  local terms = terms_in(fields[5])
  job.over = not job.period and (not fields[1] or fields[2] or (terms and terms.key ~= key)) and true or false
  return job
end

-- The token of the worker that has the job in hand; false when none has.
local function in_hand(job)
  return job.started and call('GET', job.key .. ':lock')
end

-- Whether a worker has the job in hand that knows nothing of locks.
local function with_stranger(job)
  local token = in_hand(job)
  return token and token ~= job.token and string.sub(token, 1, 8) ~= 'soloist-'
end

local function delay_marker(queue, id)
  local first = call('ZRANGE', queue .. 'delayed', 0, 0, 'WITHSCORES')
  if first[1] == id then call('ZADD', queue .. 'marker', tonumber(first[2]) / 4096, '1') end
end

-- Puts a job that is in no list into `delayed`.
local function sleep(queue, id, ms)
  local at = digits(now_ms() + ms)
  call('ZADD', queue .. 'delayed', digits((now_ms() + ms) * 4096), id)
  call('HSET', queue .. id, 'delay', digits(ms))
  call('XADD', queue .. 'events', '*', 'event', 'delayed', 'jobId', id, 'delay', at)
  delay_marker(queue, id)
end

-- A job has to wait for its lock. It is woken by whoever's step grants it the lock. `ms`: it looks by itself then.
local function park(queue, id, terms, due, ms)
  call('HSET', queue .. id, 'slw', due or 0)
  call('ZADD', queue .. 'soloist', #terms.prefix, terms.key)
  sleep(queue, id, ms or FAR)
end

-- Puts a job that is in no list where workers find it.
local function make_ready(queue, id)
  local priority = tonumber(call('HGET', queue .. id, 'priority')) or 0
  local paused = call('HEXISTS', queue .. 'meta', 'paused') == 1
  if priority > 0 then
    local count = call('INCR', queue .. 'pc')
    call('ZADD', queue .. 'prioritized', priority * 4294967296 + count % 4294967296, id)
  elseif paused and PAUSED_LIST then
    call('LPUSH', queue .. 'paused', id)
  else
    call('LPUSH', queue .. 'wait', id)
  end
  call('HSET', queue .. id, 'delay', 0)
  call('XADD', queue .. 'events', '*', 'event', 'waiting', 'jobId', id, 'prev', 'delayed')
  if not paused then call('ZADD', queue .. 'marker', 0, '0') end
end

-- A job that waited has its lock.
local function wake(job)
  local due = call('HGET', job.key, 'slw')
  if not due then return end
  call('HDEL', job.key, 'slw')
  if call('ZREM', job.queue .. 'delayed', job.id) == 0 then return end
  local left = tonumber(due) - now_ms()
  if left > 0 then
    sleep(job.queue, job.id, left)
  else
    make_ready(job.queue, job.id)
  end
end
