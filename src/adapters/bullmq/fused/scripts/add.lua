-- addStandardJob, addDelayedJob, addPrioritizedJob and addParentJob: the job is added and has its lock, or waits for it; or, as its
-- strategy says, it is not added, since another one stands for it.
--
-- ARGV, behind those of BullMQ's script, as few as can be, since ioredis takes most of a microsecond for each:
--   4 the job's terms, or '' for one that is no singleton
--   5 what to do, see `whatToDo` in `../../adding/actions.ts`: letters. The first says how a free lock is
--     taken, see `quick_add.lua`, or that more is to be asked: 'm'. Behind a blank the owner of the job's claim
--   6 nothing, or JSON of what is rarely needed: `meta`, a text for operators; `fresh`, another id, for a job whose id is its caller's,
--     since that one may be known already, or '-' where it can have no other; `flow`, see `../../adding/flow-triggers.ts`; `tag`,
--     what the answer is known by
-- reply what BullMQ's script answers, when nothing was in the way; else {'~', the tag, what came of it, the id that covers it,
--       then of the running, the pending and the first waiting run four each: owner, age in ms, state, and 1 when a worker runs it
--       that knows nothing of locks}. What came of it: `granted`, `queued`, `noted`, `met`, `known` (a job of this id), `turned` (away,
--       by BullMQ's own deduplication), `refused` (the flow), `circular` (it would wait for a job that waits for it). Last: 1 when
--       who held the lock was gone. A number below 0 is BullMQ's.
local args = cmsgpack.unpack(ARGV[1])
local queue, given = args[1], args[2]
local id = given
local terms = ARGV[4] ~= '' and terms_of(ARGV[4]) or nil
local more = ARGV[6] and cjson.decode(ARGV[6]) or {}
local flow, fresh, meta, tag = more.flow, more.fresh, more.meta, more.tag or ''
local todo

-- What was seen of jobs that this call removed.
local removed = {}

local function run_of(owner)
  if not owner or owner == '' then return '', '', '', '' end
  if removed[owner] then return unpack(removed[owner]) end
  local job = look_at(owner, terms.key)
  if not job then return owner, '', 'running', '' end
  local age = job.timestamp and digits(math.max(now_ms() - job.timestamp, 0)) or ''
  local state = 'queued'
  if job.finished or not job.timestamp then
    state = 'finished'
  elseif job.started then
    state = 'running'
  end
  local strange = with_stranger(job)
  -- Its worker will not give the lock up: somebody has to look.
  if strange then call('ZADD', queue .. 'soloist', #terms.prefix, terms.key) end
  return owner, age, state, strange and '1' or ''
end

local function reply(course, covering, running, pending, waiting)
  local answer = { '~', tag, course, covering }
  for _, owner in ipairs({ running or '', pending or '', waiting or '' }) do
    for _, part in ipairs({ run_of(owner) }) do
      answer[#answer + 1] = part
    end
  end
  answer[#answer + 1] = lost and '1' or ''
  return answer
end

-- Whether the job is there, and was not turned away.
local function added(answer)
  return answer == id
end

local function under(other)
  id = other
  args[2] = other
  ARGV[1] = cmsgpack.pack(args)
end

-- Takes a job out of wherever BullMQ put it to wait. Answers before when its own delay does not let it start, or nil when it is
-- where it may stay.
local function take_out()
  for _, name in ipairs({ 'wait', 'paused' }) do
    local list = queue .. name
    if call('LINDEX', list, 0) == id then
      call('LPOP', list)
      return 0
    elseif call('LINDEX', list, -1) == id then
      call('RPOP', list)
      return 0
    end
  end
  if call('ZREM', queue .. 'prioritized', id) == 1 then return 0 end
  local due = call('ZSCORE', queue .. 'delayed', id)
  if due then
    call('ZREM', queue .. 'delayed', id)
    return digits(math.floor(due / 4096))
  end
  return nil
end

local function wait_in_line(look_ms)
  local due = take_out()
  if due then
    park(queue, id, terms, due, look_ms)
  else
    -- It waits for its children.
    call('HSET', queue .. id, 'slw', 0)
    call('ZADD', queue .. 'soloist', #terms.prefix, terms.key)
  end
end

-- What belongs to a flow cannot be taken out of it.
local function is_bound(job)
  return call('HEXISTS', job.key, 'parentKey') == 1 or call('EXISTS', job.key .. ':dependencies') == 1
end

local function remove_job(owner)
  local job = job_of(owner)
  if job then removed[owner] = { run_of(owner) } end
  if job then bull_remove({ job.key, job.queue .. 'repeat' }, { job.id, 0, job.queue }) end
end

local function is_active(job)
  return job.started and (call('EXISTS', job.key .. ':lock') == 1 or call('LPOS', job.queue .. 'active', job.id)) and true
end

local function pending_owner()
  local runs = call('HGET', terms.details, 'p')
  local length, start = string.match(runs or '', '^p%d+,%d+,%d*,%d*,(%d+):()')
  return length and string.sub(runs, start, start + length - 1)
end

-- The pending run, without those whose jobs are over. One that a worker runs which knows nothing of locks has begun.
local function live_pending()
  while true do
    local owner = pending_owner()
    if not owner then return nil end
    local job = look_at(owner, terms.key)
    if not job then return owner end
    if job.over or job.period and not job.timestamp then
      release(terms, owner)
    elseif (is_active(job) or terms.strategy == 'p' and is_bound(job)) and holds(terms, owner) then
      step(terms, owner, { '*' }, true)
    else
      return owner, job
    end
  end
end

-- Whether one of the jobs that are to wait for this one is as `test` tells: its parent, the parent of that, and so on.
local function any_above(parent, test)
  local seen = {}
  while parent do
    local key = parent.queueKey .. ':' .. parent.id
    if seen[key] then return false end
    seen[key] = true
    if test(key, parent) then return true end
    local above = call('HGET', key, 'parent')
    parent = above and cjson.decode(above)
  end
  return false
end

-- Whether one of them has the lock of this one, or waits for it: neither would ever get on. A period ends by itself.
local function waits_for_above(parent)
  if call('EXISTS', terms.key, terms.queue) == 0 then return false end
  return any_above(parent, function(_, job)
    local owner = owner_of(job.queueKey .. ':', tostring(job.id), { mode = 'e' })
    local is_in = call('GET', terms.key) == owner or call('ZSCORE', terms.queue, owner)
    return is_in and not look_at(owner, terms.key).over
  end)
end

-- Whether a job is one of them.
local function is_above(parent, job_key)
  return any_above(parent, function(key)
    return key == job_key
  end)
end

-- Whether the parent can wait for that job in the place of this one: it will end, and no other parent waits for it.
local function can_be_child(job)
  if not job or job.queue ~= queue or not job.timestamp then return false end
  if job.finished and not call('ZSCORE', queue .. 'completed', job.id) then return false end
  local other = call('HGET', job.key, 'parentKey')
  if other and other ~= args[5] and call('EXISTS', other) == 1 then return false end
  return not is_above(args[7], job.key)
end

-- What is added under an id that is known, or to a parent that waits for another: BullMQ links it, and tells that it is known.
local function linked(covering)
  local before = id
  under(covering)
  local answer = bull_add(KEYS, ARGV)
  under(before)
  return answer
end

-- A job stands for this one.
local function covered(course, owner, running, pending, waiting)
  local job = job_of(owner)
  -- Who refuses, or asks first, changes nothing.
  if args[5] and terms.strategy ~= 'r' then
    if not can_be_child(look_at(owner, terms.key)) or linked(job.id) ~= job.id then return nil end
  end
  return reply(course, job and job.id or owner, running, pending, waiting)
end

local function trigger(owner, running, pending, begins, without)
  local kind = terms.limit > 0 and 's' .. terms.limit or 'x'
  local note = todo.notes and ARGV[2] or nil
  local words = {
    table.concat({
      '>' .. kind, terms.ttl, 'd' .. (begins and 'b' or ''), running .. pending, '60000',
      todo.wait or '', todo.most or '', (meta and 'm' or '') .. (note and 't' or '') .. (without and 'w' or ''),
    }, ','),
  }
  if meta then words[#words + 1] = meta end
  if note then words[#words + 1] = note end
  if without then words[#words + 1] = without end
  local letter, told, granted = step(terms, owner, words, true)
  -- The lock was free, and there is nobody to tell of.
  if letter == 'G' then return 't', { told, '', '', '', '', '', '0' }, granted end
  return letter, told, granted
end

-- Before when the pending run is not to start, in ms; nil: as soon as it can.
local function not_before()
  return tonumber(string.match(call('HGET', terms.details, 'p') or '', '^p%d+,%d+,%d*,(%d*),') or nil)
end

-- How long until a job that waits is to look by itself, if it is to.
local function look_after(holder, left)
  if terms.mode == 'x' then return tonumber(left) and left + 1 end
  if todo.wait then return math.max((not_before() or 0) - now_ms(), 0) + 1 end
  if not holder then return nil end
  local job = look_at(holder, terms.key)
  if not job then return LOOK_AT_OTHERS_MS end
  return with_stranger(job) and LOOK_AT_STRANGERS_MS or nil
end

-- A job whose id is its caller's: by which call it was added.
local function mark()
  if fresh and fresh ~= '-' and id == given then call('HSET', queue .. id, 'sla', fresh) end
end

local function add_claimed(course, owner, seen, look_ms, displaced)
  local went, answer = pcall(bull_add, KEYS, ARGV)
  if not went or not added(answer) then
    release(terms, owner)
    -- What a script has done before it fails stays done.
    if not went then error(answer, 0) end
    if type(answer) == 'number' then return answer end
    return reply('turned', answer)
  end
  mark()
  if course == 'queued' then wait_in_line(look_ms) end
  if displaced then remove_job(displaced) end
  if course == 'granted' and terms.mode == 'x' then rearm(terms) end
  return reply(course, id, seen[1], seen[3], seen[5])
end

-- The same call, whose answer was lost.
local function told_again()
  local answer = bull_add(KEYS, ARGV)
  local own, holder, pending = owner_of(queue, id, terms), call('GET', terms.key), pending_owner()
  if pending == own then pending = nil end
  -- Where only runs exclude each other, it is not parked before it is taken up.
  local follows = terms.mode == 'w' and holder and holder ~= own
  if not added(answer) or not follows and call('HEXISTS', queue .. id, 'slw') == 0 then return answer end
  return reply('queued', id, holder, pending)
end

-- Whether this call has added its job before. Its own id may be that of an earlier trigger: then another mark tells.
local function is_there()
  local key = queue .. id
  if fresh and id == given then return call('HGET', key, 'sla') == fresh end
  return call('EXISTS', key) == 1
end

local function decide()
  local owner = owner_of(queue, id, terms)
  local running, pending, begins = todo.running, todo.pending, todo.begins
  local job, holder = live_holder(terms)
  if terms.limit > 0 then live_sharers(terms) end
  local waits, waiting = live_pending()
  if fresh and fresh ~= '-' and id == given and (holder or waits or head_of(terms)) then
    -- What follows another job has an id of its own: with that of its caller it could not be told from an earlier trigger.
    under(fresh)
    if is_there() then return told_again() end
    owner = owner_of(queue, id, terms)
  end
  if holder and holder == waits then job, holder = nil, nil end
  if holder and running == 'm' and pending == 'm' and not waits and terms.limit == 0 then
    local answer = covered('met', holder, holder)
    if answer then return answer end
  end
  local without
  if terms.strategy == 'p' and holder and job then
    if terms.mode == 'x' then
      without = holder
      local queued = job.timestamp and not job.started and not job.finished and not is_bound(job)
      if queued then remove_job(holder) end
    elseif not is_active(job) and not is_bound(job) then
      -- Between two attempts.
      without = holder
      remove_job(holder)
    end
  end
  -- What is left with a run is to have a run of its own all the same, where that one cannot be waited for.
  if args[5] and waits and pending == 'f' and not can_be_child(waiting) then pending = 'w' end
  local displaced
  if terms.strategy == 'p' and terms.mode ~= 'x' then
    if waiting and is_bound(waiting) then
      pending = 'w'
    elseif args[5] and waits and terms.limit == 0 then
      displaced = waits
      release(terms, waits)
    end
    -- What a parent waits for is never the pending run, whose place others take.
    if args[5] then
      running, pending, begins = 'w', 'w', false
    end
  end
  -- An earlier trigger with this id was displaced, perhaps. This one is another.
  if fresh then call('DEL', '{' .. terms.key .. '}:' .. redis.sha1hex(owner) .. ':r2') end
  local letter, told, granted = trigger(owner, running, pending, begins, without)
  settle(terms, granted)
  if letter == 'd' then return reply('met', told[1]) end
  local seen = {}
  for i = 1, 6 do
    seen[i] = told[(letter == 'q' and 4 or 1) + i]
  end
  if displaced then
    seen[3] = displaced
  elseif pending == 'd' and seen[3] ~= '' then
    displaced = seen[3]
  end
  if letter == 't' and displaced and holds(terms, displaced) then
    -- There was room for both.
    displaced, seen[3] = nil, ''
  end
  if without then seen[1] = without end
  if letter == 'q' and terms.strategy == 'p' and has(terms, 'o') then
    local first = seen[1] ~= '' and look_at(seen[1], terms.key)
    if first and first.started and not first.over then call('HSET', first.key, 'sls', owner) end
  end
  if letter == 't' then return add_claimed('granted', owner, seen, nil, displaced) end
  if letter == 'q' then
    return add_claimed('queued', owner, seen, look_after(told[1] ~= '' and told[1], told[2]), displaced)
  end
  -- Nothing is to be added.
  local function queue_up()
    local letter, extra, others = step(terms, owner, { 'x,' .. terms.ttl .. ',new,d' })
    settle(terms, others)
    local busy = letter == 'b'
    local look_ms = look_after(busy and extra[1] ~= '' and extra[1], nil)
    return add_claimed(busy and 'queued' or 'granted', owner, seen, look_ms)
  end
  local noted = told[1] ~= '' and told[1]
  local by = noted or (seen[3] ~= '' and todo.gated and seen[3]) or (seen[1] ~= '' and seen[1])
    or (seen[3] ~= '' and seen[3]) or seen[5]
  -- Where its parent waits for it, it may have to be added.
  local answer = covered(noted and 'noted' or 'met', by, seen[1], seen[3], seen[5])
  if not answer then return queue_up() end
  if noted then
    local to = job_of(noted)
    if to and not todo.notes then call('HSET', to.key, 'data', ARGV[2]) end
    if to and todo.wait then
      local due = not_before()
      if due and call('ZADD', to.queue .. 'delayed', 'XX', 'CH', digits((due + 1) * 4096), to.id) == 1 then
        delay_marker(to.queue, to.id)
      end
    end
  end
  return answer
end

-- A job of this id is known: BullMQ would not add another.
local function decide_known()
  local strategy = terms.strategy
  local known = owner_of(queue, given, terms)
  if strategy == 'r' then return reply('known', given, known) end
  if strategy == 'j' or strategy == 's' or fresh == '-' then
    if args[5] and is_above(args[7], queue .. given) then return reply('circular', given) end
    local answer = reply('known', given, known)
    local linking = bull_add(KEYS, ARGV)
    if type(linking) == 'number' then return linking end
    return answer
  end
  under(fresh)
  return is_there() and told_again() or nil
end

-- Runs exclude each other, and any number may be queued: only what runs is in the way, and the one that follows it.
local function look_at_runs()
  local job, holder = live_holder(terms)
  local busy = holder
  if terms.limit > 0 then busy = not holder and live_sharers(terms) >= terms.limit or holder end
  if not busy then return nil end
  if todo.running == 'w' then
    local answer = bull_add(KEYS, ARGV)
    if not added(answer) then return answer end
    mark()
    return reply('queued', id, holder)
  end
  return decide()
end

local function add_wrapped()
  local own = fresh ~= nil
  local known = own and call('EXISTS', queue .. id) == 1
  local running, pending, begins, notes, gated, wait, most = string.match(ARGV[5], '^.(.)(.)(.)(.)(.),?(%d*),?(%d*) ')
  todo = { running = running, pending = pending, begins = begins == 'b', notes = notes == 'n', gated = gated == 'g' }
  if wait ~= '' then
    todo.wait, todo.most = wait, most
  end
  if is_there() then return told_again() end
  if args[5] then
    -- BullMQ refuses it: before others give way to it.
    if call('EXISTS', args[5]) == 0 then return bull_add(KEYS, ARGV) end
    if terms.strategy ~= 'r' and waits_for_above(args[7]) then return reply('circular', given) end
  end
  if known then
    local answer = decide_known()
    if answer then return answer end
  end
  if terms.mode == 'w' then
    local answer = look_at_runs()
    if answer then return answer end
    answer = bull_add(KEYS, ARGV)
    if type(answer) == 'string' and not added(answer) then return reply('turned', answer) end
    if added(answer) then mark() end
    if own and answer ~= given then return reply('granted', answer) end
    return answer
  end
  return decide()
end

-- A flow is added as a whole or not at all. The first of its scripts looks at what is in the way of any; the others are told.
if flow and call('EXISTS', flow.flags[1] .. ':seen:r2') == 0 then
  call('SET', flow.flags[1] .. ':seen:r2', 1, 'PX', 60000)
  for _, check in ipairs(flow.checks or {}) do
    terms = terms_of(check.terms)
    local answer
    if check.parent then
      local circular = waits_for_above(check.parent) or check.key and is_above(check.parent, check.key)
      answer = circular and reply('circular', check.index)
    else
      local _, holder = live_holder(terms)
      local met = holder or pending_owner()
      answer = met and reply('refused', check.index, met)
    end
    if answer then call('SET', check.flag, cjson.encode(answer), 'PX', 60000, 'NX') end
  end
end
if flow then
  terms = ARGV[4] ~= '' and terms_of(ARGV[4]) or nil
  for _, flag in ipairs(flow.flags) do
    local answer = call('GET', flag)
    if answer then
      answer = cjson.decode(answer)
      answer[2] = tag
      return answer
    end
  end
end
if not terms then return bull_add(KEYS, ARGV) end
return add_wrapped()
