-- reprocessJob: a job that has finished is tried again by hand. Answers {'~held', owner, state, age} when another one has its
-- lock.
local id = ARGV[1]
local queue = string.sub(KEYS[1], 1, -#id - 1)
local terms = terms_in(call('HGET', KEYS[1], 'opts'))
if not terms or terms.mode == 'w' or terms.mode == 'x' then return bull_body(KEYS, ARGV) end
local owner = owner_of(queue, id, terms)
local job, holder = live_holder(terms)
if holder and holder ~= owner then
  local started = job and job.started
  local age = job and job.timestamp and digits(now_ms() - job.timestamp) or ''
  return { '~held', holder, started and 'running' or 'queued', age }
end
local answer = bull_body(KEYS, ARGV)
if answer == 1 then
  call('HDEL', KEYS[1], 'slb', 'sls', 'slm')
  if not holder then step(terms, owner, { 'x,0,,d' }) end
end
return answer
