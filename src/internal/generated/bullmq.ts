// Made by scripts/embed.js from the files of src/adapters/bullmq/fused; edit those.
export const scripts: Readonly<Record<'add' | 'again' | 'between' | 'children' | 'common' | 'delay' | 'each' | 'fetch' | 'finish' | 'folded' | 'forget' | 'locks' | 'quick_add' | 'quick_fetch' | 'quick_finish' | 'quick_take' | 'remove' | 'retry' | 'stalled' | 'stops' | 'sweep' | 'sweeping' | 'take' | 'tidy' | 'wait', { readonly sha1: string; readonly source: string }>> = {
  add: {
    sha1: '44016fc3956b46e241cc7b67bb69fd99c9628bcc',
    source: `local args = cmsgpack.unpack(ARGV[1])
local queue, given = args[1], args[2]
local id = given
local terms = ARGV[4] ~= '' and terms_of(ARGV[4]) or nil
local more = ARGV[6] and cjson.decode(ARGV[6]) or {}
local flow, fresh, meta, tag = more.flow, more.fresh, more.meta, more.tag or ''
local todo
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
local function added(answer)
return answer == id
end
local function under(other)
id = other
args[2] = other
ARGV[1] = cmsgpack.pack(args)
end
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
call('HSET', queue .. id, 'slw', 0)
call('ZADD', queue .. 'soloist', #terms.prefix, terms.key)
end
end
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
local function waits_for_above(parent)
if call('EXISTS', terms.key, terms.queue) == 0 then return false end
return any_above(parent, function(_, job)
local owner = owner_of(job.queueKey .. ':', tostring(job.id), { mode = 'e' })
local is_in = call('GET', terms.key) == owner or call('ZSCORE', terms.queue, owner)
return is_in and not look_at(owner, terms.key).over
end)
end
local function is_above(parent, job_key)
return any_above(parent, function(key)
return key == job_key
end)
end
local function can_be_child(job)
if not job or job.queue ~= queue or not job.timestamp then return false end
if job.finished and not call('ZSCORE', queue .. 'completed', job.id) then return false end
local other = call('HGET', job.key, 'parentKey')
if other and other ~= args[5] and call('EXISTS', other) == 1 then return false end
return not is_above(args[7], job.key)
end
local function linked(covering)
local before = id
under(covering)
local answer = bull_add(KEYS, ARGV)
under(before)
return answer
end
local function covered(course, owner, running, pending, waiting)
local job = job_of(owner)
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
if letter == 'G' then return 't', { told, '', '', '', '', '', '0' }, granted end
return letter, told, granted
end
local function not_before()
return tonumber(string.match(call('HGET', terms.details, 'p') or '', '^p%d+,%d+,%d*,(%d*),') or nil)
end
local function look_after(holder, left)
if terms.mode == 'x' then return tonumber(left) and left + 1 end
if todo.wait then return math.max((not_before() or 0) - now_ms(), 0) + 1 end
if not holder then return nil end
local job = look_at(holder, terms.key)
if not job then return LOOK_AT_OTHERS_MS end
return with_stranger(job) and LOOK_AT_STRANGERS_MS or nil
end
local function mark()
if fresh and fresh ~= '-' and id == given then call('HSET', queue .. id, 'sla', fresh) end
end
local function add_claimed(course, owner, seen, look_ms, displaced)
local went, answer = pcall(bull_add, KEYS, ARGV)
if not went or not added(answer) then
release(terms, owner)
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
local function told_again()
local answer = bull_add(KEYS, ARGV)
local own, holder, pending = owner_of(queue, id, terms), call('GET', terms.key), pending_owner()
if pending == own then pending = nil end
local follows = terms.mode == 'w' and holder and holder ~= own
if not added(answer) or not follows and call('HEXISTS', queue .. id, 'slw') == 0 then return answer end
return reply('queued', id, holder, pending)
end
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
without = holder
remove_job(holder)
end
end
if args[5] and waits and pending == 'f' and not can_be_child(waiting) then pending = 'w' end
local displaced
if terms.strategy == 'p' and terms.mode ~= 'x' then
if waiting and is_bound(waiting) then
pending = 'w'
elseif args[5] and waits and terms.limit == 0 then
displaced = waits
release(terms, waits)
end
if args[5] then
running, pending, begins = 'w', 'w', false
end
end
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
`,
  },
  again: {
    sha1: '0e7bb00c908252f1900e1b71405be69511820d45',
    source: `local id = ARGV[1]
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
`,
  },
  between: {
    sha1: '692987c1bbefb2b0f169cf5e4a07a6066a15dc95',
    source: `local function between(queue, id, token)
local terms = terms_in(call('HGET', queue .. id, 'opts'))
if not terms or terms.mode ~= 'w' and terms.mode ~= 'b' then return end
if call('GET', queue .. id .. ':lock') ~= token then return end
local owner = owner_of(queue, id, terms)
if call('HEXISTS', queue .. id, 'slm') == 0 and begin(terms, owner) then return end
release(terms, owner)
end
`,
  },
  children: {
    sha1: 'e9cd978d4877d07b742e66f9d6ce25df41a941ec',
    source: `local answer = bull_body(KEYS, ARGV)
if answer == 0 then
local queue, id = ARGV[5], ARGV[4]
local terms = terms_in(call('HGET', queue .. id, 'opts'))
if terms and (terms.mode == 'w' or terms.mode == 'b') then release(terms, owner_of(queue, id, terms)) end
end
return answer
`,
  },
  common: {
    sha1: '55a491a42bcf5194475f309b9dc4a6216150b52d',
    source: `local call = redis.call
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
local ESCAPED = { ['%'] = '%25', [':'] = '%3A', ['#'] = '%23' }
local function owner_of(queue, id, terms)
return 'bullmq:' .. queue .. (string.gsub(id, '[%%:#]', ESCAPED)) .. (terms.mode == 'x' and '#set' or '')
end
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
local function terms_in(opts)
local text = opts and string.match(opts, '"singleton":"(![^"]*)"')
return text and terms_of((string.gsub(text, '\\\\/', '/')))
end
local function has(terms, flag)
return string.find(terms.flags, flag, 1, true) ~= nil
end
local function look_at(owner, key)
local job = job_of(owner)
if not job then return nil end
local fields = call('HMGET', job.key, 'timestamp', 'finishedOn', 'processedOn', 'slt', 'opts')
job.timestamp, job.finished, job.started, job.token = fields[1], fields[2], fields[3], fields[4]
local terms = terms_in(fields[5])
job.over = not job.period and (not fields[1] or fields[2] or (terms and terms.key ~= key)) and true or false
return job
end
local function in_hand(job)
return job.started and call('GET', job.key .. ':lock')
end
local function with_stranger(job)
local token = in_hand(job)
return token and token ~= job.token and string.sub(token, 1, 8) ~= 'soloist-'
end
local function delay_marker(queue, id)
local first = call('ZRANGE', queue .. 'delayed', 0, 0, 'WITHSCORES')
if first[1] == id then call('ZADD', queue .. 'marker', tonumber(first[2]) / 4096, '1') end
end
local function sleep(queue, id, ms)
local at = digits(now_ms() + ms)
call('ZADD', queue .. 'delayed', digits((now_ms() + ms) * 4096), id)
call('HSET', queue .. id, 'delay', digits(ms))
call('XADD', queue .. 'events', '*', 'event', 'delayed', 'jobId', id, 'delay', at)
delay_marker(queue, id)
end
local function park(queue, id, terms, due, ms)
call('HSET', queue .. id, 'slw', due or 0)
call('ZADD', queue .. 'soloist', #terms.prefix, terms.key)
sleep(queue, id, ms or FAR)
end
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
`,
  },
  delay: {
    sha1: 'e5edf8723e5f88acc3ed035e39cb4e29f314a7dd',
    source: `between(ARGV[1], ARGV[3], ARGV[4])
local keys = {}
for at in string.gmatch(KEYS_OF_ACTIVE, '%d+') do
keys[#keys + 1] = KEYS[tonumber(at)]
end
return fetched(bull_body(KEYS, ARGV), keys, { ARGV[1], ARGV[2], ARGV[9] })
`,
  },
  each: {
    sha1: '612817b21588bed8b3f9ee7d736ed9f1b9c468b0',
    source: `if #lists == 2 then return one() end
local answers, failed = {}, 0
for i = 2, #lists do
ARGV = lists[i]
local went, answer = pcall(one)
if not went then
failed = failed + 1
if type(answer) ~= 'table' then answer = { err = tostring(answer) } end
end
answers[i - 1] = answer or false
end
if failed == #answers then return answers[1] end
return answers
`,
  },
  fetch: {
    sha1: 'd0b23d850a544be6d11713f7fb0235130ed75889',
    source: `local MOST_PARKS = 50
local news = {}
local waited_for = {}
local function field(fields, name)
for i = 1, #fields, 2 do
if fields[i] == name then return fields[i + 1] end
end
end
local function add_field(fields, name, value)
fields[#fields + 1] = name
fields[#fields + 1] = value
end
local function put_back(queue, id, terms, due, ms)
call('LREM', queue .. 'active', 1, id)
call('DEL', queue .. id .. ':lock')
call('SREM', queue .. 'stalled', id)
if call('HINCRBY', queue .. id, 'ats', -1) < 1 then call('HDEL', queue .. id, 'processedOn', 'pb') end
if call('EXISTS', queue .. 'limiter') == 1 then call('DECR', queue .. 'limiter') end
park(queue, id, terms, due, ms)
end
local function note_token(queue, id, token)
if string.sub(token, 1, 8) ~= 'soloist-' then call('HSET', queue .. id, 'slt', token) end
end
local function claim(terms, owner)
local kind = terms.limit > 0 and 's' .. terms.limit or 'x'
local letter, extra, granted = step(terms, owner, { kind .. ',' .. terms.ttl .. ',new,d' })
settle(terms, granted)
if letter ~= 'b' then return extra or '' end
local left = tonumber(extra[2])
if terms.mode == 'x' then return nil, left and left + 1 end
local job = extra[1] ~= '' and look_at(extra[1], terms.key)
if job and with_stranger(job) then return nil, LOOK_AT_STRANGERS_MS end
if extra[1] ~= '' and not job then return nil, LOOK_AT_OTHERS_MS end
return nil, left
end
local function tick(terms, owner)
local strategy = terms.strategy
local _, holder = live_holder(terms)
local met = holder or head_of(terms)
if terms.limit > 0 then met = live_sharers(terms) >= terms.limit and 'others' or nil end
if not met or met == owner or strategy == 'd' then return nil end
if strategy == 'r' then return 'fail', met end
if strategy == 'j' or strategy == 's' then return 'drop', met end
local kind = terms.limit > 0 and 's' .. terms.limit or 'x'
local letter, told, granted = step(terms, owner, { '>' .. kind .. ',' .. terms.ttl .. ',db,fm,60000,,,' }, true)
settle(terms, granted)
if letter == 'm' then return 'drop', told[4] ~= '' and told[4] or met end
return nil
end
local function start(fields, id, queue, token, ahead)
local opts = field(fields, 'opts')
local terms = opts and terms_in(opts)
if not terms or field(fields, 'defa') then return true end
local owner = owner_of(queue, id, terms)
local waits = field(fields, 'slw')
local stopped = field(fields, 'sls')
local begun = field(fields, 'slb')
local alone = not (terms.mode == 'q' and begun) and not (terms.mode == 'x' and not waits and not has(terms, 't'))
local notes
if alone then
local holder = call('GET', terms.key)
if holder ~= owner then
if not holder and terms.limit == 0 and call('EXISTS', terms.queue, terms.details) == 0 then
if terms.ttl == '0' then
call('SET', terms.key, owner)
else
call('SET', terms.key, owner, 'PX', terms.ttl)
end
else
if has(terms, 't') and not waits then
local what, by = tick(terms, owner)
if what then
add_field(fields, 'slthen', what)
add_field(fields, 'slowner', by)
note_token(queue, id, token)
return true
end
end
local live = waited_for[terms.key]
if live == nil then
local _, holder_now = live_holder(terms)
live = holder_now or false
end
local fence, look_ms = claim(terms, owner)
if not fence then
local first = tonumber(field(fields, 'ats')) == 1
if not waits and not has(terms, 't') and (terms.mode == 'e' or first and terms.mode ~= 'w') then
news[#news + 1] = { 'lapsed', id, terms.key, live or '' }
if LAPSED ~= 'snooze' then
release(terms, owner)
add_field(fields, 'slthen', LAPSED)
add_field(fields, 'slowner', live or '')
note_token(queue, id, token)
return true
end
end
waited_for[terms.key] = live
if look_ms then look_ms = look_ms + math.max(ahead, 0) end
put_back(queue, id, terms, waits or 0, look_ms)
return false
end
if waits then call('HDEL', queue .. id, 'slw') end
if terms.mode == 'x' then rearm(terms) end
end
elseif waits then
call('HDEL', queue .. id, 'slw')
end
if terms.mode == 'x' then
notes = begin_period(terms, owner, queue .. id)
else
notes = begin(terms, owner)
end
end
notes = notes or field(fields, 'sln')
if notes and field(fields, 'slm') then notes = nil end
if notes then add_field(fields, 'slnotes', notes) end
note_token(queue, id, token)
if terms.mode == 'q' and alone and not notes then
call('HSET', queue .. id, 'slb', 1)
release(terms, owner)
end
if stopped then
add_field(fields, 'slthen', 'replaced')
add_field(fields, 'slowner', stopped)
end
add_field(fields, 'slfence', new_fence(terms))
return true
end
local function fetched(answer, keys, argv)
local queue = argv[1]
local opts = nil
for left = MOST_PARKS, 0, -1 do
if type(answer) ~= 'table' or type(answer[1]) ~= 'table' then break end
opts = opts or cmsgpack.unpack(argv[3])
if start(answer[1], answer[2], queue, opts.token, argv[2] - now_ms()) then break end
if left == 0 then
answer = { 0, 0, 0, 0, 'more' }
break
end
answer = bull_active(keys, argv)
end
if #news > 0 then
if type(answer) ~= 'table' then answer = { 0, 0, 0, 0 } end
answer[5] = answer[5] or 'told'
answer[6] = news
end
return answer
end
`,
  },
  finish: {
    sha1: 'e36e0343480e8881ab93874e43a3ebea0691a118',
    source: `local queue, id = ARGV[7], ARGV[1]
local known = call('HMGET', queue .. id, 'opts', 'processedOn', 'slb')
local terms = terms_in(known[1])
local function lapsed()
if known[2] and not known[3] then news[#news + 1] = { 'ended', id, terms.key } end
end
local function give_up()
local owner = owner_of(queue, id, terms)
if terms.mode ~= 'x' or has(terms, 'f') and ARGV[5] == 'failed' or call('HEXISTS', queue .. id, 'slw') == 1 then
if not release(terms, owner) and terms.mode ~= 'x' then lapsed() end
end
end
local answer = finished
if answer then
elseif not terms then
answer = bull_finish(KEYS, ARGV)
else
local token = cmsgpack.unpack(ARGV[8]).token
local can = call('GET', queue .. id .. ':lock') == token and call('EXISTS', queue .. id .. ':dependencies') == 0
if can then give_up() end
answer = bull_finish(KEYS, ARGV)
local done = type(answer) == 'table' or answer >= 0
if done and not can then release(terms, owner_of(queue, id, terms)) end
end
local K = KEYS
local keys = { K[1], K[2], K[3], K[4], K[5], K[6], K[7], K[8], K[9], K[10], K[14] }
return fetched(answer, keys, { queue, ARGV[2], ARGV[8] })
`,
  },
  folded: {
    sha1: '6f6d5d942e5417e0863459be931b27fb8c5cbb94',
    source: `local queue, id = ARGV[1], ARGV[2]
if call('GET', queue .. id .. ':lock') ~= ARGV[3] then return 0 end
call('HSET', queue .. id, 'data', ARGV[4], 'slm', ARGV[5])
local terms = terms_in(call('HGET', queue .. id, 'opts'))
if terms and terms.mode == 'q' then
call('HSET', queue .. id, 'slb', 1)
release(terms, owner_of(queue, id, terms))
end
return 1
`,
  },
  forget: {
    sha1: 'bf361af1abd187d8b3dbe9a329c5422ddb58ad57',
    source: `return call('DEL', KEYS[1], KEYS[2], KEYS[3])
`,
  },
  locks: {
    sha1: 'cd15baab31153880ef2d7f80ef764f6ec6ed0923',
    source: `local QUEUE_OWNER = 'bullmq'
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
if letter ~= 'a' then return letter, letter == 'g' and reply[1] or reply[3], granted end
end
end
local MOST_GONE = 50
local function holds(terms, owner)
if call('GET', terms.key) == owner then return true end
local ends = terms.limit > 0 and tonumber(call('ZSCORE', terms.queue, owner) or nil)
return ends and ends > now_ms() and ends < 1000000000000000
end
local function begin(terms, owner)
if call('EXISTS', terms.details) == 0 then return nil end
local letter, notes = step(terms, owner, { '*' }, true)
if letter ~= 'B' or #notes == 0 then return nil end
local texts = {}
for i = 1, #notes, 2 do
if notes[i] ~= owner then texts[#texts + 1] = notes[i + 1] end
end
return #texts > 0 and cjson.encode(texts) or nil
end
local function begin_period(terms, owner, job_key)
local notes = begin(terms, owner)
if notes then call('HSET', job_key, 'sln', notes) end
return notes
end
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
until letter ~= '3' and letter ~= '2'
return held
end
local function release(terms, owner)
local granted = {}
local held = release_one(terms, owner, granted)
settle(terms, granted)
return held
end
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
local function head_of(terms)
local head = call('ZRANGE', terms.queue, 1000000000000000, '+inf', 'BYSCORE', 'LIMIT', 0, 1)[1]
return head
end
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
local function new_fence(terms)
local mark = '{' .. terms.prefix .. '}:f2'
local fence = call('INCR', mark)
if fence < 1000000000000000 then
fence = now_us()
call('SET', mark, digits(fence), 'PX', IDLE_MS)
end
return digits(fence)
end
`,
  },
  quick_add: {
    sha1: '5c4aaf54e2b12ce17e44dce65f876331963b713e',
    source: `local kind = string.byte(ARGV[5])
local tag = not ARGV[6] and '' or string.match(ARGV[6], '^{"tag":"(%d+)"}$')
if tag and ARGV[4] == '' then return bull_add(KEYS, ARGV) end
if tag and kind ~= 109 then
local ttl, key = string.match(ARGV[4], '^!%l%l%l*,0,(%d+),%d+,%d+ (.*)$')
local details, owner = '{' .. key .. '}:d2', string.sub(ARGV[5], 8)
local job = string.sub(owner, 8, string.sub(owner, -4) == '#set' and -5 or -1)
if redis.call('EXISTS', key, '{' .. key .. '}:q2', details, job) == 0 then
local answer = bull_add(KEYS, ARGV)
if type(answer) ~= 'string' then return answer end
if not string.find(owner, ':' .. answer, -#answer - 5, true) then
return { '~', tag, 'turned', answer, '', '', '', '', '', '', '', '', '', '', '', '', '' }
end
if kind == 119 then return answer end
if ttl == '0' then
redis.call('SET', key, owner)
else
redis.call('SET', key, owner, 'PX', ttl)
end
if kind == 98 then redis.call('HSET', details, 'p', 'p0,0,0,,' .. #owner .. ':' .. owner) end
return answer
end
end
`,
  },
  quick_fetch: {
    sha1: 'd2b7385a6fb69632b9a96b0e067eec8edece97d0',
    source: `local function started_quickly(answer, queue, packed)
if type(answer) ~= 'table' or type(answer[1]) ~= 'table' then return true end
local fields, id = answer[1], answer[2]
local opts
for i = 1, #fields, 2 do
local name = fields[i]
if name == 'opts' then
opts = fields[i + 1]
elseif name == 'slw' or name == 'sls' or name == 'slb' or name == 'defa' then
return false
end
end
local text = opts and string.match(opts, '"singleton":"(![^"]*)"')
if not text then return true end
local start, key = string.match(text, '^![ewb]%l[of]*,0,0,%d+,(%d+) (.*)$')
if not key or string.find(key, '\\\\', 1, true) or string.find(id, '[%%:#]') then return false end
local owner, details = 'bullmq:' .. queue .. id, '{' .. key .. '}:d2'
local holder = redis.call('GET', key)
if holder then
if holder ~= owner then return false end
local noted = redis.call('HGETALL', details)
if #noted > 0 then
local pending = #noted == 2 and noted[1] == 'p' and string.match(noted[2], '^p%d+,0,%d*,,%d+:(.*)$')
if pending ~= owner then return false end
redis.call('DEL', details)
end
elseif redis.call('EXISTS', '{' .. key .. '}:q2', details) > 0 then
return false
else
redis.call('SET', key, owner)
end
if not string.find(packed, 'soloist-', 1, true) then
redis.call('HSET', queue .. id, 'slt', cmsgpack.unpack(packed).token)
end
local fence = redis.call('INCR', '{' .. string.sub(key, 1, start) .. '}:f2')
if fence < 1000000000000000 then
local time = redis.call('TIME')
fence = time[1] * 1000000 + time[2]
redis.call('SET', '{' .. string.sub(key, 1, start) .. '}:f2', string.format('%.0f', fence), 'PX', IDLE_MS)
end
fields[#fields + 1] = 'slfence'
fields[#fields + 1] = string.format('%.0f', fence)
return true
end
`,
  },
  quick_finish: {
    sha1: 'fd61ec05480ba1bd04b175c2851d18c79ee29f58',
    source: `local finished
local known = redis.call('HGET', ARGV[7] .. ARGV[1], 'opts')
local text = known and string.match(known, '"singleton":"(![^"]*)"')
local key = text and string.match(text, '^![eqwb]%l%l*,0,%d+,%d+,%d+ (.*)$')
local plain = not text or string.find(text, '^!%l%l%l*u') ~= nil
if key and not string.find(key, '\\\\', 1, true) and not string.find(ARGV[1], '[%%:#]') and not plain then
local owner = 'bullmq:' .. ARGV[7] .. ARGV[1]
if redis.call('EXISTS', '{' .. key .. '}:q2', '{' .. key .. '}:d2') == 0 and redis.call('GET', key) == owner then
finished = bull_finish(KEYS, ARGV)
if type(finished) == 'table' or finished >= 0 then redis.call('DEL', key) end
end
elseif plain then
finished = bull_finish(KEYS, ARGV)
end
if finished and started_quickly(finished, ARGV[7], ARGV[8]) then return finished end
`,
  },
  quick_take: {
    sha1: 'ecbc678246936f5f847608d2bd3127c733b7e730',
    source: `local taken = bull_active(KEYS, ARGV)
if started_quickly(taken, ARGV[1], ARGV[3]) then return taken end
`,
  },
  remove: {
    sha1: 'ecb65796661724facd323da15f7f8a3027ad42f0',
    source: `local queue, id = ARGV[3], ARGV[1]
local fields = call('HMGET', queue .. id, 'opts', 'slw')
local terms = terms_in(fields[1])
local answer = bull_body(KEYS, ARGV)
if answer == 1 and terms and (terms.mode ~= 'x' or fields[2]) then release(terms, owner_of(queue, id, terms)) end
return answer
`,
  },
  retry: {
    sha1: '708f0d56fa300feb5f346fa8ef20656c042818f4',
    source: `between(ARGV[1], ARGV[4], ARGV[5])
return bull_body(KEYS, ARGV)
`,
  },
  stalled: {
    sha1: 'a446079b545738feafcecbe43b9f6b4d8fea24dd',
    source: `local queue = ARGV[2]
local first = call('SET', queue .. 'soloist-swept', 1, 'NX', 'PX', ARGV[4])
local answer = bull_body(KEYS, ARGV)
if first then
sweep_some(queue, function(terms)
sweep(queue, terms)
end)
end
return answer
`,
  },
  stops: {
    sha1: '6cb03a31b425cbdb8153677fa038e48ea39429bd',
    source: `local owners = {}
for i, key in ipairs(ARGV) do
owners[i] = call('HGET', key, 'sls') or ''
end
return owners
`,
  },
  sweep: {
    sha1: '2388117bfc64df7299375f07cf3718280e734896',
    source: `
local function is_of(queue, terms, holder)
local start = 'bullmq:' .. queue
if holder and string.sub(holder, 1, #start) ~= start then return false end
for _, owner in ipairs(call('ZRANGE', terms.queue, 0, -1)) do
if string.sub(owner, 1, #start) ~= start then return false end
end
return true
end
local freed = 0
for i = 4, #ARGV do
local terms = terms_of('!ej,0,0,0,' .. ARGV[2] .. ' ' .. ARGV[i])
local before = call('GET', terms.key)
if ARGV[3] == '1' and is_of(ARGV[1], terms, before) then
call('DEL', terms.key, terms.queue, terms.details)
else
sweep(ARGV[1], terms)
end
if before and call('GET', terms.key) ~= before then freed = freed + 1 end
end
return freed
`,
  },
  sweeping: {
    sha1: '3026e51588d6b91070b387d1e8f20f2d2ca36156',
    source: `local function sweep(queue, terms)
local job, holder = live_holder(terms)
local before = call('ZCARD', terms.queue)
live_sharers(terms)
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
release(terms, 'nobody')
if head_of(terms) == head then break end
end
head = head_of(terms)
end
end
if call('EXISTS', terms.key, terms.queue) == 0 then call('ZREM', queue .. 'soloist', terms.key) end
end
local function sweep_some(queue, with)
local some = call('ZRANDMEMBER', queue .. 'soloist', 500, 'WITHSCORES')
for i = 1, #some, 2 do
with(terms_of('!ej,0,0,0,' .. some[i + 1] .. ' ' .. some[i]))
end
end
`,
  },
  take: {
    sha1: '8182e01cdda67818cd29c52a761964ed343030cf',
    source: `return fetched(taken, KEYS, ARGV)
`,
  },
  tidy: {
    sha1: 'f505f67e2c1dcf7006333d560a564a5588dda007',
    source: `local SEEN_AT_ONCE = 500
local ENDS_MS = 3600000
local COMES_WITHIN_MS = 60000
local queue = ARGV[1]
local given_up = {}
local function tidy(terms)
local before = call('GET', terms.key)
sweep(queue, terms)
if before and call('GET', terms.key) ~= before then
local job = job_of(before)
given_up[#given_up + 1] = terms.key
given_up[#given_up + 1] = job and job.id or before
end
end
local function may_come(job)
local start, later = string.match(job.id, '^' .. string.rep('[%w_-]', 8) .. '(' .. string.rep('%w', 8) .. ')%-(%w+)$')
if job.timestamp or not start then return false end
return now_ms() - tonumber(start, 36) - tonumber(later, 36) / 32 < COMES_WITHIN_MS
end
local function terms_at(key, length)
return terms_of('!ej,0,0,0,' .. length .. ' ' .. key)
end
sweep_some(queue, tidy)
local cursor, next_ms = string.match(ARGV[4] ~= '' and call('GET', KEYS[2]) or '0,0', '^(%d+),(%d+)$')
if ARGV[4] ~= '' and tonumber(next_ms) <= now_ms() then
local found = redis.pcall('SCAN', cursor, 'COUNT', SEEN_AT_ONCE)
if not found.err then
local owners = 'bullmq:' .. queue
for _, key in ipairs(found[2]) do
local lock = string.match(key, '^{(.*)}:q2$')
local owner
if string.sub(key, 1, #ARGV[2]) == ARGV[2] then
owner = redis.pcall('GET', key)
elseif lock and string.sub(lock, 1, #ARGV[2]) == ARGV[2] and call('EXISTS', lock) == 0 then
owner = call('ZRANGE', key, 0, 0)[1]
end
if type(owner) == 'string' and string.sub(owner, 1, #owners) == owners then
local terms = terms_at(lock or key, ARGV[3])
local job = look_at(owner, terms.key)
if job and job.over and not may_come(job) then tidy(terms) end
end
end
call('SET', KEYS[2], found[1] .. ',' .. digits(now_ms() + ARGV[4]), 'PX', ENDS_MS)
end
end
table.insert(given_up, 1, call('ZCARD', KEYS[1]))
return given_up
`,
  },
  wait: {
    sha1: '01108d7c808de8a784577ab62c8bf05ab57f6a91',
    source: `between(string.sub(ARGV[3], 1, -#ARGV[1] - 1), ARGV[1], ARGV[2])
return bull_body(KEYS, ARGV)
`,
  },
}
