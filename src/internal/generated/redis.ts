// Made by scripts/embed.js from the files of src/backends/redis; edit those.
export const scripts: Readonly<Record<'inspect' | 'moving' | 'steps' | 'watch', { readonly sha1: string; readonly source: string }>> = {
  inspect: {
    sha1: '53e400d933d4c76abc3bfcd096b01f8db37222ba',
    source: `local call, try = redis.call, redis.pcall
local show, show_of_all = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)
local function digits(number)
return string.format('%.0f', number)
end
local function expire(key, ms)
if ms then
call('PEXPIRE', key, digits(ms))
else
call('PERSIST', key)
end
end
local FIRST_TICKET = 1e15 -- in the queue, what is below is the end of a shared lease
local FOREVER = 9e14
local NOTES_OF_A_RUN = 1000000000
local function runs_of(text)
local runs, at = { begun = {}, taken = {} }, 1
while at <= #text do
local kind, from, count, first, not_before, length, start =
string.match(text, '^([pbs])(%d+),(%d+),(%d*),(%d*),(%d+):()', at)
local run = {
owner = string.sub(text, start, start + length - 1),
from = tonumber(from),
count = tonumber(count),
first = tonumber(first),
not_before = tonumber(not_before),
unasked = kind == 's' or nil,
}
if kind == 'p' then
runs.pending = run
else
runs.begun[#runs.begun + 1] = run
end
runs.taken[math.floor(run.from / NOTES_OF_A_RUN)] = true
at = start + length
end
return runs
end
local function lock_at(lock, queue, details, owner)
local l = {
lock = lock,
queue = queue,
details = details,
holder = call('GET', lock),
size = call('ZCARD', queue),
over = {},
owner = owner,
}
local known = call('HMGET', details, 'p', 'd', 'o' .. owner, 'w' .. owner)
l.mine, l.watched = known[3], known[4]
l.durable = tonumber(known[2] or 0)
l.runs = known[1] and runs_of(known[1]) or nil
if known[1] or known[2] or known[3] or known[4] or l.size > 0 then l.detailed = true end
return l
end
local function detailed(l)
if l.detailed == nil then l.detailed = call('HLEN', l.details) > 0 end
return l.detailed
end
local function claim_of(owner, text)
if not text then return nil end
local mode, limit, noted, durable, ttl, of, fence, comma, meta =
string.match(text, '^([xs])(%d*)(n?)(d?),(%d+),(%S*) (%d*)(,?)(.*)$')
if not mode then return nil end
if comma == '' then meta = nil end
return {
owner = owner,
mode = mode,
limit = limit,
noted = noted ~= '' or nil,
durable = durable ~= '' or nil,
ttl = ttl,
client = of,
fence = fence,
meta = meta,
}
end
local function note_of(claim, fence)
local flags = (claim.noted and 'n' or '') .. (claim.durable and 'd,' or ',')
local text = claim.mode .. claim.limit .. flags .. claim.ttl .. ',' .. claim.client .. ' ' .. (fence or '')
if claim.meta then text = text .. ',' .. claim.meta end
return text
end
local function shared_left(l, last)
local found
if last then
found = call('ZRANGE', l.queue, '(1e15', '(' .. digits(now), 'BYSCORE', 'REV', 'LIMIT', 0, 1, 'WITHSCORES')
else
found = call('ZRANGE', l.queue, '(' .. digits(now), '(1e15', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
end
if not found[1] then return nil end
local ends = tonumber(found[2])
return found[1], ends >= FOREVER and -1 or ends - now
end
local function has_runs(l)
return l.runs and (l.runs.pending or #l.runs.begun > 0)
end
local function keep(l)
local in_queue, in_details = 0, 0
if l.durable > 0 then
in_queue, in_details = -1, -1
elseif l.holder then
l.left = l.left or call('PTTL', l.lock)
in_details = l.left
if in_details == -1 and not has_runs(l) and call('HEXISTS', l.details, 'o' .. l.holder) == 0 then in_details = 0 end
else
local _, left = shared_left(l, true)
in_queue, in_details = left or 0, left or 0
end
expire(l.queue, in_queue >= 0 and in_queue + idle_ms or nil)
expire(l.details, in_details >= 0 and in_details + idle_ms or nil)
end
local function has_room(l, claim)
if l.holder then return false end
if l.size == 0 then return true end
l.shared = l.shared or call('ZCOUNT', l.queue, '(' .. digits(now), '(1e15')
if claim.mode == 'x' then return l.shared == 0 end
return claim.limit == '' or l.shared < tonumber(claim.limit)
end
local function hold(l, claim, ttl, fence, noted)
if claim.mode == 'x' then
if ttl == '0' then
call('SET', l.lock, claim.owner)
else
call('SET', l.lock, claim.owner, 'PX', ttl)
end
l.holder, l.left, l.freed = claim.owner, ttl == '0' and -1 or tonumber(ttl), false
if noted then
call('HSET', l.details, 'o' .. claim.owner, note_of(claim, fence))
l.detailed, l.noted, l.to_keep = true, true, true
elseif detailed(l) then
l.over[#l.over + 1] = 'o' .. claim.owner
if l.runs then l.to_keep = true end
end
else
local ends = ttl == '0' and FOREVER or now + ttl
l.size = l.size + call('ZADD', l.queue, digits(ends), claim.owner)
call('HSET', l.details, 'o' .. claim.owner, note_of(claim, fence))
l.detailed, l.to_keep = true, true
if l.shared then l.shared = l.shared + 1 end
end
end
local function forget_over(l)
for from = 1, #l.over, 1000 do
call('HDEL', l.details, unpack(l.over, from, math.min(from + 999, #l.over)))
end
l.over = {}
end
local function settle(l)
if l.freed then call('DEL', l.lock) end
if l.size == 0 and not l.holder then
if detailed(l) then call('DEL', l.details) end
return
end
forget_over(l)
if l.write_runs then l.write_runs(l) end
if l.to_keep then keep(l) end
if l.size > 0 or l.noted or has_runs(l) or not detailed(l) then return end
local notes = call('HMGET', l.details, 'o' .. l.holder, 'w' .. l.holder)
if not (notes[1] or notes[2]) then call('DEL', l.details) end
end
local function of_type(reply, otherwise)
if type(reply) == 'table' and reply.err then return otherwise end
return reply
end
local MOST_READ = 500
local function notes_of(details, owners)
local fields = {}
for i, owner in ipairs(owners) do
fields[i] = 'o' .. owner
end
local notes = of_type(try('HMGET', details, unpack(fields)), {})
for i = 1, #owners do
notes[i] = notes[i] or ''
end
return notes
end
local function pending_of(holder, queue, details)
local noted = of_type(try('HGET', details, 'p'), false)
if not noted then return { '', 0, '' } end
local runs, closed = runs_of(noted), {}
local run = runs.pending
local place = run and run.owner ~= holder and tonumber(of_type(try('ZSCORE', queue, run.owner), nil) or nil)
local over = run and run.owner ~= holder and not (place and place > now)
local waits = place and place >= FIRST_TICKET
local claim = waits and claim_of(run.owner, call('HGET', details, 'o' .. run.owner))
if claim and not claim.durable then
local alive = string.match(call('HGET', details, 'c' .. claim.client) or '', '^%d+')
over = not alive or tonumber(alive) <= now
end
if run and not over then return { run.owner, run.count, run.not_before and digits(run.not_before) or '' } end
for _, begun in ipairs(runs.begun) do
closed[begun.owner] = true
end
for _, owner in ipairs(of_type(try('ZRANGE', queue, FIRST_TICKET, '+inf', 'BYSCORE', 'LIMIT', 0, 2), {})) do
if not (run and run.owner == owner) then
local job = call('HGET', details, 'j' .. owner)
if not job or closed[owner] then break end
return { owner, string.find(job, ',', 1, true) and 1 or 0, '' }
end
end
return { '', 0, '' }
end
local function inspect(k)
local lock, queue, details = KEYS[k], KEYS[k + 1], KEYS[k + 2]
local from, to = '(' .. digits(now), '(1e15'
local holder = of_type(try('GET', lock), false)
local shared = of_type(try('ZCOUNT', queue, from, to), 0)
local waiting = of_type(try('ZCOUNT', queue, FIRST_TICKET, '+inf'), 0)
local state = { digits(now), shared + (holder and 1 or 0), waiting, unpack(pending_of(holder, queue, details)) }
local read = 0
local function add(kind, members, less, most)
local owners, rows = {}, {}
for i = 1, #members, 2 do
owners[#owners + 1] = members[i]
end
read = read + #owners
for i, note in ipairs(notes_of(details, owners)) do
rows[i] = { owner = owners[i], at = members[2 * i], note = note, fence = tonumber(string.match(note, ' (%d+)') or 0) }
end
if less then table.sort(rows, less) end
for i = 1, math.min(#rows, most) do
for _, part in ipairs({ kind, rows[i].owner, rows[i].at, rows[i].note }) do
state[#state + 1] = part
end
end
end
if holder then
local left = call('PTTL', lock)
add('x', { holder, left >= 0 and digits(now + left) or '' }, nil, 1)
end
if shared > 0 then
local members = call('ZRANGE', queue, from, to, 'BYSCORE', 'LIMIT', 0, MOST_READ, 'WITHSCORES')
for i = 2, #members, 2 do
local ends = tonumber(members[i])
members[i] = ends < FOREVER and digits(ends) or ''
end
add('s', members, function(a, b)
return a.fence < b.fence
end, show - read)
end
if waiting > 0 then
local members = call('ZRANGE', queue, FIRST_TICKET, '+inf', 'BYSCORE', 'LIMIT', 0, show, 'WITHSCORES')
for i = 2, #members, 2 do
members[i] = digits(tonumber(members[i]))
end
add('w', members, nil, show)
end
if read == 0 then return {}, 0 end
return state, read
end
local states, shown = {}, 0
for i = 1, #KEYS / 3 do
if shown >= show_of_all then break end
local count
states[i], count = inspect(3 * i - 2)
shown = shown + count
end
return states
`,
  },
  moving: {
    sha1: '5dccb8dd75a4edd69fded3b8e2612a6e6bd302d1',
    source: `local call = redis.call
local key, owner, ttl = KEYS[1], ARGV[1], ARGV[2]
local time = call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)
local function digits(number)
return string.format('%.0f', number)
end
local function expire(key, ms)
if ms then
call('PEXPIRE', key, digits(ms))
else
call('PERSIST', key)
end
end
local kind = call('TYPE', key).ok
if kind == 'string' and call('GET', key) == owner then
expire(key, ttl ~= '0' and ttl or nil)
return 1
elseif kind == 'zset' then
local ends = tonumber(call('ZSCORE', key, owner) or nil)
if ends and ends > now and ends < 1e15 then
call('ZADD', key, ttl == '0' and '900000000000000' or digits(now + ttl), owner)
local left = call('PTTL', key)
if left >= 0 then expire(key, ttl ~= '0' and math.max(left, ttl) or nil) end
return 1
end
end
return 0
`,
  },
  steps: {
    sha1: '68c1bd0552930df180e3283d1ece3d0bf9e35ac4',
    source: `local call, try = redis.call, redis.pcall
local IDLE_MS = '60000'
local guard_ms, guard_note = nil, ''
if string.byte(ARGV[1]) == 103 then -- 'g'
local bound = tonumber(string.match(ARGV[1], '^g(%d+)'))
local info = try('INFO', 'server')
local up = type(info) == 'string' and tonumber(string.match(info, 'uptime_in_seconds:(%d+)'))
if up then
local left = bound - (up - 1) * 1000
if left > 0 and not string.find(call('INFO', 'persistence'), 'aof_enabled:1', 1, true) then
guard_ms, guard_note = left, '!'
end
else
guard_note = '?'
end
end
if guard_note == '' and (#KEYS == 4 or #KEYS == 5) then
local lock, details, owner, terms = KEYS[2], KEYS[4], ARGV[2], ARGV[3]
local kind = string.byte(terms)
local notes = try('HLEN', details)
if not kind or kind == 33 then -- '!'
if (notes == 0 or notes == 1) and try('GET', lock) == owner then
if notes == 0 then
call('DEL', lock)
elseif call('HEXISTS', details, 'o' .. owner) == 1 then
call('DEL', lock, details)
else
notes = nil
end
if notes then
if kind then call('SET', KEYS[5], ARGV[4], 'PX', string.sub(terms, 2)) end
return '1'
end
end
elseif notes == 0 then
local ttl, noted, durable, meta = nil, '', '', ''
if kind == 116 then -- 't'
ttl = string.sub(terms, 2)
elseif kind == 62 then -- '>'
ttl, noted, durable, meta = string.match(terms, '^>x,(%d+),(n?)(d?),%a%a,%d+,,,(m?)t?$')
local left = ttl and try('GET', KEYS[5])
if left and (type(left) ~= 'string' or string.byte(left) >= 254) then ttl = nil end
elseif kind >= 48 and kind <= 57 then -- a digit
ttl = terms
end
local taken
if ttl == '0' then
taken = call('SET', lock, owner, 'NX')
elseif ttl then
taken = call('SET', lock, owner, 'PX', ttl, 'NX')
end
if taken then
local time = call('TIME')
local us = time[2]
if #us < 6 then us = string.rep('0', 6 - #us) .. us end
local fence = time[1] .. us
local last = try('SET', KEYS[1], fence, 'PX', IDLE_MS, 'GET')
if not last or type(last) == 'string' and #last == #fence and last < fence then
if noted .. meta ~= '' then
local client = string.match(ARGV[1], '^%S+ %d %d %d+ (%S*)')
local note = 'x' .. noted .. durable .. ',' .. ttl .. ',' .. client .. ' ' .. fence
if meta ~= '' then note = note .. ',' .. ARGV[4] end
call('HSET', details, 'o' .. owner, note)
if ttl ~= '0' then call('PEXPIRE', details, ttl + IDLE_MS) end
end
return fence
end
if type(last) == 'string' then call('SET', KEYS[1], last) end
end
end
end
local time = call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)
local function digits(number)
return string.format('%.0f', number)
end
local function expire(key, ms)
if ms then
call('PEXPIRE', key, digits(ms))
else
call('PERSIST', key)
end
end
local mark_key = KEYS[1]
local hears, on_cluster, results, client, channels = string.match(ARGV[1], '^%S+ (%d) (%d) (%d+) (%S*) (.*)$')
local count = (#KEYS - 1 - results) / 3
local GRANT_MS = '5000'
local ALIVE_MS = '12000'
local LONG_STEPS = '32'
local idle_ms, grant_ms, alive_ms = tonumber(IDLE_MS), tonumber(GRANT_MS), tonumber(ALIVE_MS)
local long_at_most = tonumber(LONG_STEPS)
local first_fence, next_fence, marked_up_to
local function read_mark()
local last = tonumber(try('GET', mark_key))
first_fence = now_us
if last and last >= now_us and last < 9e15 then first_fence = math.floor(last) + 1 end
next_fence, marked_up_to = first_fence, first_fence
end
local function new_fence()
if not next_fence then read_mark() end
next_fence = next_fence + 1
return next_fence - 1
end
local function mark()
if next_fence == marked_up_to then return end
local last = next_fence - 1
call('SET', mark_key, digits(last), 'PXAT', digits(math.floor(last / 1000) + idle_ms))
marked_up_to = next_fence
end
local letters, extras, handed = {}, {}, {}
local function reply()
mark()
local all = { digits(first_fence or 0), '' }
for j = 1, count do
if extras[j] then all[#all + 1] = extras[j] end
end
if #handed > 0 then
letters[count + 1] = '+'
all[#all + 1] = handed
end
if guard_ms then all[#all + 1] = digits(guard_ms) end
all[2] = table.concat(letters) .. guard_note
return all
end
local function held(noted, brought)
if not noted then return 'h' end
local fence = string.match(noted, ' (%d*)')
if fence == brought then return 'k' end
if fence == '' then return 'h' end
return 'F', fence
end
local function extend(lock, details, has_details, owner, terms)
local ttl, brought = string.match(terms, '(%d+),(%d*)')
local known = has_details and try('HMGET', details, 'o' .. owner, 'p', 'd') or {}
if known.err then return 'e', known.err end
local noted, runs, durable = known[1], known[2], known[3]
if ttl == '0' then
call('PERSIST', lock)
else
call('PEXPIRE', lock, ttl)
end
local notes = not noted and brought ~= ''
if notes then call('HSET', details, 'o' .. owner, 'x,' .. ttl .. ',' .. client .. ' ' .. brought) end
if noted or notes or runs then expire(details, ttl ~= '0' and not durable and ttl + idle_ms or nil) end
return held(noted, brought)
end
local long = {}
if count == 1 then
long[1] = { 1, 2, KEYS[5] }
else
local locks, details, first_of, twice, noted = {}, {}, {}, {}, {}
local alone = 0
for j = 1, count do
local lock = KEYS[3 * j - 1]
locks[j], details[j] = lock, KEYS[3 * j + 1]
local first = first_of[lock]
if not first then
first_of[lock] = j
alone = alone + 1
else
if not twice[first] then alone = alone - 1 end
twice[first], twice[j] = true, true
end
end
local holders, left = {}, {}
local next_result = 3 * count + 2
if alone > 0 then
read_mark()
holders = call('MGET', unpack(locks))
if call('EXISTS', unpack(details)) > 0 then
for j = 1, count do
noted[j] = try('HLEN', details[j])
if noted[j] == 0 then noted[j] = nil end
end
end
if next_result <= #KEYS then left = call('MGET', unpack(KEYS, next_result)) end
end
local released, kept = {}, {}
local at, results_before = 2, next_result - 1
for j = 1, count do
local owner, terms, here = ARGV[at], ARGV[at + 1], at
local kind = string.byte(terms)
at = at + 2
local holder = holders[j]
local letter, extra, result, before
if kind == 33 or kind == 62 or kind == 42 then -- '!', '>' and '*'
result, before = KEYS[next_result], left[next_result - results_before]
next_result = next_result + 1
end
if kind == 33 then
at = at + 1
elseif kind == 62 or kind == 120 or kind == 115 then -- '>', 'x' and 's': texts may follow
at = at + #string.match(terms, '[mrtw]*$')
end
if twice[j] then
letter = nil
elseif kind == 61 then -- '='
if holder == owner then letter, extra = extend(locks[j], details[j], noted[j], owner, terms) end
elseif not kind or kind == 33 then
if holder == owner then
local all = not noted[j] or noted[j] == 1 and call('HEXISTS', details[j], 'o' .. owner) == 1
if all then
released[#released + 1] = locks[j]
if noted[j] then released[#released + 1] = details[j] end
if kind then kept[#kept + 1] = { result, ARGV[here + 2], string.sub(terms, 2) } end
letter = '1'
end
elseif holder and not noted[j] then
letter = '0'
end
elseif not (holder or noted[j] or guard_ms) then
local ttl, note = terms, nil
if kind == 116 then
ttl = string.sub(terms, 2)
elseif kind == 62 then
local noted, durable, meta
ttl, noted, durable, meta = string.match(terms, '^>x,(%d+),(n?)(d?),%a%a,%d+,,,(m?)t?$')
if before and string.byte(before) >= 254 then ttl = nil end
if ttl and noted .. meta ~= '' then
note = 'x' .. noted .. durable .. ',' .. ttl .. ',' .. client .. ' ' .. digits(next_fence)
if meta ~= '' then note = note .. ',' .. ARGV[here + 2] end
end
end
local taken
if ttl == '0' then
taken = try('SET', locks[j], owner, 'NX')
elseif tonumber(ttl) then
taken = try('SET', locks[j], owner, 'PX', ttl, 'NX')
end
if taken and taken.err then
letter, extra = 'e', taken.err
elseif taken then
letter = 'g'
if note then
call('HSET', details[j], 'o' .. owner, note)
if ttl ~= '0' then expire(details[j], ttl + idle_ms) end
end
next_fence = next_fence + 1
end
end
if letter then
letters[j], extras[j] = letter, extra
else
long[#long + 1] = { j, here, result }
end
end
if #released > 0 then call('DEL', unpack(released)) end
for i = 1, #kept do
call('SET', kept[i][1], kept[i][2], 'PX', kept[i][3])
end
end
if #long == 0 then return reply() end
local function usual(j, at)
local lock, queue, details = KEYS[3 * j - 1], KEYS[3 * j], KEYS[3 * j + 1]
local owner, terms = ARGV[at], ARGV[at + 1]
local holder = call('GET', lock)
if terms == '' and holder == owner and not guard_ms then
local first = call('ZRANGE', queue, 0, 1, 'WITHSCORES')
if not first[3] or tonumber(first[2]) < 1e15 then return nil end
local head = first[1]
local notes = call('HMGET', details, 'o' .. head, 'o' .. owner, 'w' .. owner, 'p')
local ttl = notes[1] and string.match(notes[1], '^x,([1-9]%d*),')
local bare = ttl and notes[1] == 'x,' .. ttl .. ',' .. client .. ' '
if not bare or notes[2] or notes[3] or notes[4] then return nil end
call('ZREM', queue, head)
local fence = digits(new_fence())
call('SET', lock, head, 'PX', ttl)
call('HDEL', details, 'o' .. head)
local n = #handed
handed[n + 1], handed[n + 2], handed[n + 3] = j, head, fence
return '1'
elseif holder and holder ~= owner and hears == '1' and tonumber(terms) and terms ~= '0' then
local left = call('PTTL', lock)
local last = call('ZRANGE', queue, 0, 0, 'REV', 'WITHSCORES')[2]
if left < 0 or not last or tonumber(last) < 1e15 then return nil end
local known = call('HMGET', details, 'o' .. owner, 'p', 'd')
if known[1] or known[2] or known[3] then return nil end
local ticket = digits(math.max(now_us, last + 1))
call('ZADD', queue, ticket, owner)
local note = 'x,' .. terms .. ',' .. client .. ' '
call('HSET', details, 'o' .. owner, note, 'c' .. client, digits(now + alive_ms))
expire(queue, idle_ms)
expire(details, left + idle_ms)
return 'b', { holder, digits(math.max(left, 1)), ticket, '0' }
end
end
local work = 0
local next_long = 1
while long[next_long] and work < long_at_most do
local j, at = long[next_long][1], long[next_long][2]
local done, letter, extra = pcall(usual, j, at)
if not done then
letters[j], extras[j] = 'e', type(letter) == 'table' and letter.err or tostring(letter)
elseif letter then
letters[j], extras[j] = letter, extra
else
break
end
work = work + 1
next_long = next_long + 1
end
if not long[next_long] then return reply() end
local FIRST_TICKET = 1e15 -- in the queue, what is below is the end of a shared lease
local FOREVER = 9e14
local NOTES_OF_A_RUN = 1000000000
local function runs_of(text)
local runs, at = { begun = {}, taken = {} }, 1
while at <= #text do
local kind, from, count, first, not_before, length, start =
string.match(text, '^([pbs])(%d+),(%d+),(%d*),(%d*),(%d+):()', at)
local run = {
owner = string.sub(text, start, start + length - 1),
from = tonumber(from),
count = tonumber(count),
first = tonumber(first),
not_before = tonumber(not_before),
unasked = kind == 's' or nil,
}
if kind == 'p' then
runs.pending = run
else
runs.begun[#runs.begun + 1] = run
end
runs.taken[math.floor(run.from / NOTES_OF_A_RUN)] = true
at = start + length
end
return runs
end
local function lock_at(lock, queue, details, owner)
local l = {
lock = lock,
queue = queue,
details = details,
holder = call('GET', lock),
size = call('ZCARD', queue),
over = {},
owner = owner,
}
local known = call('HMGET', details, 'p', 'd', 'o' .. owner, 'w' .. owner)
l.mine, l.watched = known[3], known[4]
l.durable = tonumber(known[2] or 0)
l.runs = known[1] and runs_of(known[1]) or nil
if known[1] or known[2] or known[3] or known[4] or l.size > 0 then l.detailed = true end
return l
end
local function detailed(l)
if l.detailed == nil then l.detailed = call('HLEN', l.details) > 0 end
return l.detailed
end
local function claim_of(owner, text)
if not text then return nil end
local mode, limit, noted, durable, ttl, of, fence, comma, meta =
string.match(text, '^([xs])(%d*)(n?)(d?),(%d+),(%S*) (%d*)(,?)(.*)$')
if not mode then return nil end
if comma == '' then meta = nil end
return {
owner = owner,
mode = mode,
limit = limit,
noted = noted ~= '' or nil,
durable = durable ~= '' or nil,
ttl = ttl,
client = of,
fence = fence,
meta = meta,
}
end
local function note_of(claim, fence)
local flags = (claim.noted and 'n' or '') .. (claim.durable and 'd,' or ',')
local text = claim.mode .. claim.limit .. flags .. claim.ttl .. ',' .. claim.client .. ' ' .. (fence or '')
if claim.meta then text = text .. ',' .. claim.meta end
return text
end
local function shared_left(l, last)
local found
if last then
found = call('ZRANGE', l.queue, '(1e15', '(' .. digits(now), 'BYSCORE', 'REV', 'LIMIT', 0, 1, 'WITHSCORES')
else
found = call('ZRANGE', l.queue, '(' .. digits(now), '(1e15', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
end
if not found[1] then return nil end
local ends = tonumber(found[2])
return found[1], ends >= FOREVER and -1 or ends - now
end
local function has_runs(l)
return l.runs and (l.runs.pending or #l.runs.begun > 0)
end
local function keep(l)
local in_queue, in_details = 0, 0
if l.durable > 0 then
in_queue, in_details = -1, -1
elseif l.holder then
l.left = l.left or call('PTTL', l.lock)
in_details = l.left
if in_details == -1 and not has_runs(l) and call('HEXISTS', l.details, 'o' .. l.holder) == 0 then in_details = 0 end
else
local _, left = shared_left(l, true)
in_queue, in_details = left or 0, left or 0
end
expire(l.queue, in_queue >= 0 and in_queue + idle_ms or nil)
expire(l.details, in_details >= 0 and in_details + idle_ms or nil)
end
local function has_room(l, claim)
if l.holder then return false end
if l.size == 0 then return true end
l.shared = l.shared or call('ZCOUNT', l.queue, '(' .. digits(now), '(1e15')
if claim.mode == 'x' then return l.shared == 0 end
return claim.limit == '' or l.shared < tonumber(claim.limit)
end
local function hold(l, claim, ttl, fence, noted)
if claim.mode == 'x' then
if ttl == '0' then
call('SET', l.lock, claim.owner)
else
call('SET', l.lock, claim.owner, 'PX', ttl)
end
l.holder, l.left, l.freed = claim.owner, ttl == '0' and -1 or tonumber(ttl), false
if noted then
call('HSET', l.details, 'o' .. claim.owner, note_of(claim, fence))
l.detailed, l.noted, l.to_keep = true, true, true
elseif detailed(l) then
l.over[#l.over + 1] = 'o' .. claim.owner
if l.runs then l.to_keep = true end
end
else
local ends = ttl == '0' and FOREVER or now + ttl
l.size = l.size + call('ZADD', l.queue, digits(ends), claim.owner)
call('HSET', l.details, 'o' .. claim.owner, note_of(claim, fence))
l.detailed, l.to_keep = true, true
if l.shared then l.shared = l.shared + 1 end
end
end
local function forget_over(l)
for from = 1, #l.over, 1000 do
call('HDEL', l.details, unpack(l.over, from, math.min(from + 999, #l.over)))
end
l.over = {}
end
local function settle(l)
if l.freed then call('DEL', l.lock) end
if l.size == 0 and not l.holder then
if detailed(l) then call('DEL', l.details) end
return
end
forget_over(l)
if l.write_runs then l.write_runs(l) end
if l.to_keep then keep(l) end
if l.size > 0 or l.noted or has_runs(l) or not detailed(l) then return end
local notes = call('HMGET', l.details, 'o' .. l.holder, 'w' .. l.holder)
if not (notes[1] or notes[2]) then call('DEL', l.details) end
end
local function write_runs(l)
local runs, text = l.runs, ''
if runs then
local function add(kind, run)
local times = digits(run.first or 0) .. ',' .. (run.not_before and digits(run.not_before) or '')
text = text .. kind .. digits(run.from) .. ',' .. run.count .. ',' .. times .. ',' .. #run.owner .. ':' .. run.owner
end
if runs.pending then add('p', runs.pending) end
for _, run in ipairs(runs.begun) do
add(run.unasked and 's' or 'b', run)
end
end
if l.runs_changed then
if text == '' and l.size == 0 then
call('HDEL', l.details, 'p')
l.runs = nil
else
call('HSET', l.details, 'p', text)
l.detailed = true
end
end
if l.durable_changed then
if l.durable > 0 then
call('HSET', l.details, 'd', l.durable)
else
call('HDEL', l.details, 'd')
end
end
end
local function runs_change(l)
if not l.runs then
l.runs, l.to_keep = { begun = {}, taken = {} }, true
end
l.runs_changed, l.write_runs = true, write_runs
return l.runs
end
local function count_durable(l, by)
l.durable = math.max(l.durable + by, 0)
l.durable_changed, l.write_runs, l.to_keep = true, write_runs, true
end
local function first_note(runs)
local multiple = 0
while runs.taken[multiple] do
multiple = multiple + 1
end
runs.taken[multiple] = true
return multiple * NOTES_OF_A_RUN
end
local function add_note(l, run, owner, text)
local number = digits(run.from + run.count)
local fields = { 'm' .. number, #owner .. ':' .. owner .. text }
if owner ~= run.owner then
fields[3], fields[4] = 'n' .. owner, number
end
call('HSET', l.details, unpack(fields))
run.count = run.count + 1
runs_change(l)
l.detailed = true
end
local function notes_with(l, run)
local notes = {}
for from = 0, run.count - 1, 500 do
local fields = {}
for i = from, math.min(from + 500, run.count) - 1 do
fields[#fields + 1] = 'm' .. digits(run.from + i)
end
for _, note in ipairs(call('HMGET', l.details, unpack(fields))) do
local length, start = string.match(note or '', '^(%d+):()')
if length then
notes[#notes + 1] = string.sub(note, start, start + length - 1)
notes[#notes + 1] = string.sub(note, start + length)
end
end
end
return notes
end
local function drop_notes(l, run)
if run.count == 0 then return false end
local notes, others = notes_with(l, run), false
for i = 1, #notes, 2 do
l.over[#l.over + 1] = 'n' .. notes[i]
others = others or notes[i] ~= run.owner
end
for i = run.from, run.from + run.count - 1 do
l.over[#l.over + 1] = 'm' .. digits(i)
end
work = work + run.count / 200
return others
end
local function become_pending(l, owner, note, first, not_before)
local runs = runs_change(l)
runs.pending = { owner = owner, from = first_note(runs), count = 0, first = first, not_before = not_before }
if note then add_note(l, runs.pending, owner, note) end
end
local function begin_alone(l, owner, note)
if not note then return end
local runs = runs_change(l)
local run = { owner = owner, from = first_note(runs), count = 0 }
runs.begun[#runs.begun + 1] = run
add_note(l, run, owner, note)
end
local function begun_of(l, owner)
for i, run in ipairs(l.runs and l.runs.begun or {}) do
if run.owner == owner then return run, i end
end
end
local function begin_run(l, owner, unasked)
local run = l.runs and l.runs.pending
if run and run.owner == owner then
local runs = runs_change(l)
runs.pending, run.unasked, run.not_before = nil, unasked, nil
if run.count > 0 or unasked then runs.begun[#runs.begun + 1] = run end
end
run = begun_of(l, owner)
if run and run.unasked and not unasked then
runs_change(l)
run.unasked = nil
end
return run
end
local function take_back(l, run, owner)
if not run or run.count == 0 then return {} end
local number = owner == run.owner and run.from or tonumber(call('HGET', l.details, 'n' .. owner) or nil)
if not number or number < run.from or number >= run.from + run.count then return {} end
local note = notes_with(l, { from = number, count = 1 })
if note[1] ~= owner then return {} end
if run.unasked then
call('HDEL', l.details, 'n' .. owner, 'm' .. digits(number))
return {}
end
return note
end
local function noted_with(l, owner)
if not has_runs(l) then return nil end
local number = tonumber(call('HGET', l.details, 'n' .. owner) or nil)
if not number then return nil end
local function has(run)
return run and number >= run.from and number < run.from + run.count
end
if has(l.runs.pending) then return l.runs.pending.owner end
for _, run in ipairs(l.runs.begun) do
if has(run) then return run.owner end
end
end
local function early_ms(l, owner)
local run = l.runs and l.runs.pending
return run and run.owner == owner and run.not_before and math.max(run.not_before - now, 0) or 0
end
local function push(to, ...)
return call('PUBLISH', channels .. to, cjson.encode({ 2, ... }))
end
local function fits(l, claim)
return not guard_ms and has_room(l, claim)
end
local function take_out(l, owner)
local removed = call('ZREM', l.queue, owner)
l.size = l.size - removed
if l.first and l.first.owner == owner then l.first = nil end
return removed == 1
end
local function first_waiting(l)
if l.first == nil then
local found = l.size > 0 and call('ZRANGE', l.queue, FIRST_TICKET, '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
local owner = found and found[1]
if owner then
local known = call('HMGET', l.details, 'o' .. owner, 'j' .. owner)
l.first = claim_of(owner, known[1]) or { owner = owner }
l.first.ticket, l.first.job = tonumber(found[2]), known[2]
else
l.first = false
end
end
return l.first
end
local function job_of(text)
local since, comma, note = string.match(text or '', '^(%d+)(,?)(.*)$')
return tonumber(since), comma == ',' and note or nil
end
local function next_run(l)
if not l.runs or l.runs.pending then return end
local claim = first_waiting(l)
if claim and claim.job and not begun_of(l, claim.owner) then
local _, note = job_of(claim.job)
become_pending(l, claim.owner, note, now)
end
end
local DISPLACED = '\\255'
local UNBEGUN = '\\254'
local function left_key(l, owner)
return string.sub(l.queue, 1, -4) .. ':' .. redis.sha1hex(owner) .. ':r2'
end
local function leave_word(l, owner)
local pending = l.runs and l.runs.pending
if pending and pending.owner == owner or begun_of(l, owner) then try('SET', left_key(l, owner), DISPLACED, 'PX', digits(idle_ms)) end
end
local function run_over(l, owner, known)
if not l.runs then return end
local pending, unbegun = l.runs.pending, false
if pending and pending.owner == owner then
unbegun = drop_notes(l, pending)
runs_change(l).pending = nil
end
local run, i = begun_of(l, owner)
if run then
drop_notes(l, run)
unbegun = run.unasked
table.remove(runs_change(l).begun, i)
end
if unbegun and not known then try('SET', left_key(l, owner), UNBEGUN, 'PX', digits(idle_ms)) end
next_run(l)
end
local function left_queue(l, claim, granted)
if claim.durable then count_durable(l, -1) end
if claim.job then l.over[#l.over + 1] = 'j' .. claim.owner end
if granted then return end
l.over[#l.over + 1] = 'o' .. claim.owner
leave_word(l, claim.owner)
run_over(l, claim.owner, true)
end
local function is_alive(l, claim)
local alive, unsure = string.match(call('HGET', l.details, 'c' .. claim.client) or '', '^(%d+)(%??)$')
return alive and tonumber(alive) > now, unsure == '?'
end
local function head(l)
while true do
local claim = first_waiting(l)
if not claim then return nil, false end
if claim.mode then
if claim.durable or claim.client == client then return claim, false end
if claim.alive == nil then claim.alive, claim.unsure = is_alive(l, claim) end
if claim.alive then return claim, false end
end
if work > long_at_most then return nil, true end
work = work + 0.25
take_out(l, claim.owner)
left_queue(l, claim)
end
end
local function place_of(l, run)
if run.owner == l.holder or l.size == 0 then return nil end
local first = l.first
if first and first.owner == run.owner then return first.ticket end
local score = tonumber(call('ZSCORE', l.queue, run.owner) or nil)
return score and score >= FIRST_TICKET and score or nil
end
local function shares(l, owner)
local ends = l.size > 0 and tonumber(call('ZSCORE', l.queue, owner) or nil)
return ends and ends > now and ends < FIRST_TICKET
end
local function open_lock(lock, queue, details, owner)
local l = lock_at(lock, queue, details, owner)
if not has_runs(l) then return l end
local over = {}
for _, run in ipairs(l.runs.begun) do
local there = run.owner == l.holder or shares(l, run.owner) or run.unasked and place_of(l, run)
if not there then over[#over + 1] = run.owner end
end
local run = l.runs.pending
if run and run.owner ~= l.holder then
local claim = first_waiting(l)
if not (claim and claim.owner == run.owner) then
claim = nil
if place_of(l, run) then
local known = call('HMGET', details, 'o' .. run.owner, 'j' .. run.owner)
claim = claim_of(run.owner, known[1]) or { owner = run.owner }
claim.job = known[2]
elseif not shares(l, run.owner) then
over[#over + 1] = run.owner
end
end
if claim and claim.mode and not claim.durable and claim.client ~= client then
claim.alive, claim.unsure = is_alive(l, claim)
if not claim.alive then
take_out(l, run.owner)
left_queue(l, claim)
end
end
end
for _, owner_of_run in ipairs(over) do
run_over(l, owner_of_run)
end
return l
end
local function grant_by_push(l, claim)
local fence = digits(new_fence())
mark()
local receivers = push(claim.client, 'granted', l.lock, claim.owner, fence)
if receivers > 0 or on_cluster == '1' or claim.unsure then
left_queue(l, claim, true)
local ttl = claim.ttl ~= '0' and math.min(claim.ttl, grant_ms) or grant_ms
hold(l, claim, digits(ttl), fence, true)
return
end
call('HDEL', l.details, 'c' .. claim.client)
left_queue(l, claim)
end
local function advance(l, j)
while not l.holder do
local claim, more = head(l)
if not claim then return more end
if work > long_at_most then return true end
next_run(l)
if not fits(l, claim) or early_ms(l, claim.owner) > 0 then return false end
local owner = claim.owner
take_out(l, owner)
local run = l.runs and l.runs.pending
if run and run.owner == owner then
if run.not_before then runs_change(l).pending.not_before = nil end
elseif run and claim.job and not begun_of(l, owner) then
local _, note = job_of(claim.job)
begin_alone(l, owner, note)
end
if claim.durable or claim.client == client then
left_queue(l, claim, true)
local fence = digits(new_fence())
hold(l, claim, claim.ttl, fence, claim.meta or claim.noted)
local n = #handed
handed[n + 1], handed[n + 2], handed[n + 3] = j, owner, fence
work = work + 0.5
else
work = work + 1
grant_by_push(l, claim)
end
end
return false
end
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
local function own_score(l)
if l.score == nil then l.score = l.size > 0 and tonumber(call('ZSCORE', l.queue, l.owner) or nil) or false end
return l.score or nil
end
local function note_waiting(l, claim, sure, job)
local fields = { 'o' .. claim.owner, note_of(claim) }
if claim.durable then
local before = claim.owner == l.owner and claim_of(claim.owner, l.mine)
if not (before and before.durable and before.fence == '') then count_durable(l, 1) end
else
fields[3], fields[4] = 'c' .. client, digits(now + alive_ms) .. (sure and '' or '?')
end
if job then
fields[#fields + 1] = 'j' .. claim.owner
fields[#fields + 1] = job
end
call('HSET', l.details, unpack(fields))
l.detailed, l.to_keep = true, true
end
local function enqueue(l, claim, ticket, job)
local requeued = ticket ~= 'new'
local place = requeued and own_score(l)
if place and place >= FIRST_TICKET then
call('PERSIST', l.queue)
ticket, requeued = digits(place), false
else
if not requeued then
local last = l.size > 0 and call('ZRANGE', l.queue, 0, 0, 'REV', 'WITHSCORES')[2]
ticket = digits(math.max(now_us, FIRST_TICKET, last and last + 1 or 0))
end
l.first = nil
if call('ZADD', l.queue, 'NX', ticket, claim.owner) == 1 then
l.size = l.size + 1
else
place = tonumber(call('ZSCORE', l.queue, claim.owner))
if place < FIRST_TICKET then
call('ZADD', l.queue, ticket, claim.owner)
else
ticket, requeued = digits(place), false
end
end
end
note_waiting(l, claim, hears == '1' and not requeued, job)
return ticket, requeued
end
local function tell_end(l, owner)
local noted, watched, job
if owner == l.owner and not l.runs then
noted, watched = l.mine, l.watched
elseif detailed(l) then
local known = call('HMGET', l.details, 'o' .. owner, 'w' .. owner, 'j' .. owner)
noted, watched, job = known[1], known[2], known[3]
end
if noted then l.over[#l.over + 1] = 'o' .. owner end
if job then l.over[#l.over + 1] = 'j' .. owner end
if watched then
l.over[#l.over + 1] = 'w' .. owner
for watcher, until_ms in string.gmatch(watched, '(%S+) (%d+) ') do
if tonumber(until_ms) > now then push(watcher, 'ended', l.lock, owner) end
end
end
local claim = claim_of(owner, noted)
if claim and claim.durable and claim.fence == '' then count_durable(l, -1) end
return noted
end
local function forget(l, owner)
local noted = tell_end(l, owner)
run_over(l, owner)
return noted
end
local function displaced_by(key, unbegun)
local left = call('GET', key)
local kind = left and string.sub(left, 1, 1)
if kind == DISPLACED or unbegun and kind == UNBEGUN then return string.sub(left, 2) end
return nil, kind
end
local function grant(l, claim, again)
local noted = again and claim_of(claim.owner, l.mine)
local fence = noted and noted.fence ~= '' and noted.fence
local has_note = fence or claim.meta or claim.noted
fence = fence or digits(new_fence())
hold(l, claim, claim.ttl, fence, has_note)
if claim.mode == 'x' and l.size > 0 and take_out(l, claim.owner) then
local before = claim_of(claim.owner, l.mine)
if before and before.durable and before.fence == '' then count_durable(l, -1) end
end
return 'G', fence
end
local function busy(l, more, ticket, requeued)
local holder, left = l.holder, nil
if holder then
l.left = l.left or call('PTTL', l.lock)
left = l.left
else
holder, left = shared_left(l, false)
end
if guard_ms and left ~= -1 then left = math.max(left or 0, guard_ms) end
local run = l.runs and l.runs.pending
local early = run and early_ms(l, run.owner) or 0
if early > 0 then
local first = first_waiting(l)
if first and first.owner == run.owner then
if fits(l, first) then
left = early
elseif left and left >= 0 then
left = math.max(left, early)
end
end
end
local ms = ''
if more then
ms = '0'
elseif left and left >= 0 then
ms = digits(math.max(left, 1))
end
return 'b', { holder or '', ms, ticket, requeued and '1' or '0' }
end
local function acquire_among(l, j, claim, ticket)
local owner = claim.owner
local score = own_score(l)
if score and score > now and score < FIRST_TICKET then
claim.mode = 's'
return grant(l, claim, true)
end
local gone = call('ZRANGE', l.queue, '-inf', digits(now), 'BYSCORE', 'LIMIT', 0, 100)
if #gone > 0 then
l.size = l.size - call('ZREM', l.queue, unpack(gone))
for i, one in ipairs(gone) do
gone[i] = 'o' .. one
end
call('HDEL', l.details, unpack(gone))
end
local others = call('ZCOUNT', l.queue, FIRST_TICKET, '+inf') > 0
if not others and fits(l, claim) then return grant(l, claim) end
local more, requeued = false, false
if ticket ~= '' then ticket, requeued = enqueue(l, claim, ticket) end
if others then
local from = #handed + 1
more = advance(l, j)
local fence = handed_to(owner, from)
if fence then return 'G', fence end
others = more or call('ZCOUNT', l.queue, FIRST_TICKET, '+inf') > 0
if ticket == '' and not others and fits(l, claim) then return grant(l, claim) end
end
return busy(l, more, ticket, requeued)
end
local function replace(l, j, claim, ticket, replaces)
local mine, score = own_score(l), tonumber(call('ZSCORE', l.queue, replaces) or nil)
if not score or score <= now then return end
local waits = mine and mine >= FIRST_TICKET
if mine and mine > now and not waits then return end
if score < FIRST_TICKET then
if claim.mode ~= 's' or guard_ms then return end
local before = waits and take_out(l, claim.owner) and claim_of(claim.owner, l.mine)
if before and before.durable then count_durable(l, -1) end
local letter, fence = grant(l, claim)
take_out(l, replaces)
forget(l, replaces)
l.shared = nil
return letter, fence
end
if ticket == '' or waits and mine <= score then return end
if waits then
call('ZADD', l.queue, digits(score), claim.owner)
l.first = nil
else
enqueue(l, claim, digits(score))
end
take_out(l, replaces)
forget(l, replaces)
l.score = nil
local from = #handed + 1
local more = not l.holder and advance(l, j)
local fence = handed_to(claim.owner, from)
if fence then return 'G', fence end
return busy(l, more, digits(score), false)
end
local function acquire(l, j, claim, ticket, replaces)
if replaces and not l.holder and l.size > 0 then
local from = #handed + 1
advance(l, j)
l.score = nil
local fence = handed_to(claim.owner, from)
if fence then return 'G', fence end
end
if l.holder == claim.owner then
claim.mode = 'x'
return grant(l, claim, true)
end
if tonumber(ticket) and not own_score(l) and displaced_by(left_key(l, claim.owner)) then
local more = l.size > 0 and advance(l, j)
return busy(l, more, '', false)
end
if replaces and replaces ~= l.holder and l.size > 0 then
local letter, told = replace(l, j, claim, ticket, replaces)
if letter then return letter, told end
end
if l.holder then
if replaces == l.holder and claim.mode == 'x' and not guard_ms then
local before = l.holder
local letter, fence = grant(l, claim)
forget(l, before)
return letter, fence
end
local requeued = false
if ticket ~= '' then ticket, requeued = enqueue(l, claim, ticket) end
return busy(l, false, ticket, requeued)
end
if l.size == 0 and not guard_ms then return grant(l, claim) end
return acquire_among(l, j, claim, ticket)
end
local function remove(l, owner)
local was_held, was_here = l.holder == owner, false
if was_held then
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
if noted and (was_here or string.find(noted, '^xn?d?,0,')) then l.to_keep = true end
return was_held
end
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
local function first_holder(l)
if l.holder or l.size == 0 then return l.holder end
local owners = call('ZRANGE', l.queue, '(' .. digits(now), '(1e15', 'BYSCORE', 'LIMIT', 0, 100)
if #owners < 2 then return owners[1] end
local fields, first, least = {}, owners[1], nil
for i, owner in ipairs(owners) do
fields[i] = 'o' .. owner
end
for i, text in ipairs(call('HMGET', l.details, unpack(fields))) do
local claim = claim_of(owners[i], text)
local fence = claim and tonumber(claim.fence)
if fence and (not least or fence < least) then
first, least = owners[i], fence
end
end
return first
end
local function add_seen(l, list, asking)
local pending = l.runs and l.runs.pending
local function add(owner, since)
list[#list + 1] = owner or ''
list[#list + 1] = owner and since and digits(math.max(now - since, 0)) or ''
end
local function held_since(owner)
local claim = claim_of(owner, call('HGET', l.details, 'o' .. owner))
return claim and claim.fence ~= '' and math.floor(claim.fence / 1000) or nil
end
local function waits_since(claim)
return (job_of(claim.job)) or math.floor(claim.ticket / 1000)
end
local holder = first_holder(l)
local first = first_waiting(l)
if holder and holder ~= asking and not (pending and pending.owner == holder) then
add(holder, held_since(holder))
else
add(nil)
end
if not pending or pending.owner == asking then
add(nil)
elseif first and first.owner == pending.owner then
add(first.owner, waits_since(first))
else
local place = place_of(l, pending)
if place then
add(pending.owner, waits_since({ ticket = place, job = call('HGET', l.details, 'j' .. pending.owner) }))
else
add(pending.owner, held_since(pending.owner))
end
end
if first and first.owner ~= asking and not (pending and pending.owner == first.owner) then
add(first.owner, waits_since(first))
else
add(nil)
end
return list
end
local function granted(l, owner, fence, seen)
local pending = l.runs and l.runs.pending
seen[7] = pending and pending.owner == owner and '1' or '0'
return 't', { fence, unpack(seen) }
end
local function queued(l, ticket, seen)
local _, told = busy(l, false, ticket, false)
for i = 1, #seen do
told[4 + i] = seen[i]
end
return 'q', told
end
local function met(noted, seen)
return 'm', { noted or '', unpack(seen) }
end
local function due(t, first)
return t.wait and math.min(now + t.wait, first + t.most) or nil
end
local function job_with(note)
return digits(now) .. (note and ',' .. note or '')
end
local function displace(l, j, claim, t, seen)
local owner, before = claim.owner, l.runs.pending
local place = place_of(l, before)
local first = not place and first_waiting(l)
call('SET', left_key(l, before.owner), DISPLACED .. owner, 'PX', t.keep)
tell_end(l, before.owner)
if before.owner == l.holder then
l.holder, l.left, l.freed, l.shared = nil, nil, true, 0
else
l.shared = nil
take_out(l, before.owner)
end
drop_notes(l, before)
become_pending(l, owner, t.note, before.first, due(t, before.first) or before.not_before)
if not place and not t.wait and fits(l, claim) then
local _, fence = grant(l, claim)
if not t.begins then
begin_run(l, owner)
next_run(l)
end
return granted(l, owner, fence, seen)
end
place = place or math.min(now_us, first and first.ticket - 1 or now_us)
l.size = l.size + call('ZADD', l.queue, digits(place), owner)
l.first = nil
note_waiting(l, claim, hears == '1', job_with(t.note))
local from = #handed + 1
advance(l, j)
local fence = handed_to(owner, from)
if fence then return granted(l, owner, fence, seen) end
return queued(l, digits(place), seen)
end
local function repeated(l, claim, t, key, seen)
local owner = claim.owner
local score = l.holder ~= owner and own_score(l)
if l.holder == owner or score and score > now and score < FIRST_TICKET then
claim.mode = l.holder == owner and 'x' or 's'
local _, fence = grant(l, claim, true)
return granted(l, owner, fence, seen)
end
if score and score >= FIRST_TICKET then return queued(l, enqueue(l, claim, digits(score)), seen) end
local by, kind = displaced_by(key)
if by then return 'd', { by } end
if kind == UNBEGUN then call('DEL', key) end
local noted = noted_with(l, owner)
if noted then return met(noted, seen) end
end
local function trigger(l, j, claim, t, key)
local owner = claim.owner
if t.without then
remove(l, t.without)
forget_over(l)
end
local from, more, _ = #handed + 1, false, nil
if l.size > 0 then
if l.holder then
_, more = head(l)
else
more = advance(l, j)
end
l.score = nil
end
local fence = handed_to(owner, from)
if more and not fence then return 'a' end
forget_over(l)
next_run(l)
local seen = add_seen(l, {}, owner)
if fence then return granted(l, owner, fence, seen) end
local letter, told = repeated(l, claim, t, key, seen)
if letter then return letter, told end
local pending = l.runs and l.runs.pending
local free = not first_waiting(l) and has_room(l, claim)
if free and not t.wait and not guard_ms then
_, fence = grant(l, claim)
if t.begins and not pending then
become_pending(l, owner, t.note, now)
elseif t.begins then
begin_alone(l, owner, t.note)
end
return granted(l, owner, fence, seen)
end
local action = pending and t.pending or free and 'f' or t.running
if action == 'm' then return met(nil, seen) end
if action == 'w' then
local ticket = enqueue(l, claim, 'new', t.begins and job_with(t.note) or nil)
if t.begins then
runs_change(l)
next_run(l)
end
return queued(l, ticket, seen)
end
if not pending then
local ticket = enqueue(l, claim, 'new', job_with(t.note))
become_pending(l, owner, t.note, now, due(t, now))
return queued(l, ticket, seen)
end
if action == 'f' then
if t.note then add_note(l, pending, owner, t.note) end
if t.wait and place_of(l, pending) then
runs_change(l)
pending.not_before = due(t, pending.first)
end
return met(pending.owner, seen)
end
return displace(l, j, claim, t, seen)
end
local function close_waiting(l, owner)
local pending = l.runs and l.runs.pending
if pending and pending.owner == owner or begun_of(l, owner) then return end
local since, note = job_of(call('HGET', l.details, 'j' .. owner))
if not since then return end
local runs = runs_change(l)
local run = { owner = owner, from = first_note(runs), count = 0, unasked = true }
runs.begun[#runs.begun + 1] = run
if note then add_note(l, run, owner, note) end
end
local function begin(l, j, owner, key, of)
local unasked = of and of ~= '' or nil
local more = not l.holder and l.size > 0 and advance(l, j)
local holds = l.holder == owner or shares(l, owner)
local waits = unasked and not holds and (own_score(l) or 0) >= FIRST_TICKET
if holds or waits then
if waits or l.runs and l.runs.pending then
call('PERSIST', l.details)
l.to_keep = true
end
if waits then close_waiting(l, owner) end
local run = begin_run(l, owner, unasked)
next_run(l)
if unasked then return 'B', take_back(l, run, of) end
return 'B', run and notes_with(l, run) or {}
end
if more then return 'a' end
local by = displaced_by(key, unasked)
if by then return 'd', { by } end
return 'l'
end
local function renew(l, owner, terms)
if l.holder == owner then return extend(l.lock, l.details, detailed(l), owner, terms) end
local score = l.size > 0 and tonumber(call('ZSCORE', l.queue, owner) or nil)
if not score or score <= now or score >= FIRST_TICKET then return 'l' end
local ttl, brought = string.match(terms, '(%d+),(%d*)')
call('PERSIST', l.queue)
call('ZADD', l.queue, digits(ttl == '0' and FOREVER or now + ttl), owner)
local noted = call('HGET', l.details, 'o' .. owner)
if not noted and brought ~= '' then
call('HSET', l.details, 'o' .. owner, 's,' .. ttl .. ',' .. client .. ' ' .. brought)
end
keep(l)
return held(noted, brought)
end
local function trigger_terms(owner, terms, at)
local mode, limit, ttl, noted, durable, begins, running, pending, keep_ms, wait, most, meta, note, without =
string.match(terms, '^>([xs])(%d*),(%d+),(n?)(d?)(b?),(%a)(%a),(%d+),(%d*),(%d*),(m?)(t?)(w?)$')
local function text(flag)
if flag == '' then return nil end
at = at + 1
return ARGV[at]
end
local claim = {
owner = owner,
mode = mode,
limit = limit,
ttl = ttl,
client = client,
noted = noted ~= '' or nil,
durable = durable ~= '' or nil,
meta = text(meta),
}
return claim,
{
running = running,
pending = pending,
begins = begins ~= '',
keep = keep_ms,
wait = tonumber(wait),
most = tonumber(most),
note = text(note),
without = text(without),
}
end
local function do_step(j, at, left)
local owner, terms = ARGV[at], ARGV[at + 1]
local l = open_lock(KEYS[3 * j - 1], KEYS[3 * j], KEYS[3 * j + 1], owner)
local kind = string.byte(terms)
local letter, extra
if not kind then
letter = release(l, j, owner, nil)
elseif kind == 33 then -- '!'
letter = release(l, j, owner, { ms = string.sub(terms, 2), text = ARGV[at + 2], key = left })
elseif kind == 42 then -- '*'
letter, extra = begin(l, j, owner, left, string.sub(terms, 2))
elseif kind == 61 then -- '='
letter, extra = renew(l, owner, terms)
elseif kind == 62 then -- '>'
local claim, t = trigger_terms(owner, terms, at + 1)
letter, extra = trigger(l, j, claim, t, left)
else
local claim = { owner = owner, mode = 'x', limit = '', ttl = terms, client = client }
local ticket, replaces = 'new', nil
if kind == 116 then -- 't'
claim.ttl, ticket = string.sub(terms, 2), ''
elseif kind >= 115 then -- 'x' and 's'
local noted, durable, meta, other
claim.mode, claim.limit, claim.ttl, ticket, noted, durable, meta, other =
string.match(terms, '^([xs])(%d*),(%d+),(%w*),(n?)(d?)(m?)(r?)$')
claim.noted, claim.durable = noted ~= '' or nil, durable ~= '' or nil
at = at + 2
if meta ~= '' then
claim.meta = ARGV[at]
at = at + 1
end
if other ~= '' then replaces = ARGV[at] end
end
letter, extra = acquire(l, j, claim, ticket, replaces)
end
settle(l)
return letter, extra
end
local full = false
for i = next_long, #long do
local j, at = long[i][1], long[i][2]
local kind = string.byte(ARGV[at + 1])
full = full or work >= long_at_most
if full then
letters[j] = 'a'
else
work = work + (kind == 61 and 0.25 or 1)
local before = next_fence
local done, letter, extra = pcall(do_step, j, at, long[i][3])
if done then
letters[j], extras[j] = letter, extra
else
if next_fence then next_fence = math.max(before or 0, marked_up_to) end
letters[j], extras[j] = 'e', type(letter) == 'table' and letter.err or tostring(letter)
end
end
end
return reply()
`,
  },
  watch: {
    sha1: 'bbc1e7c82a225b1d24e468617d8623838769af64',
    source: `local call, try = redis.call, redis.pcall
local IDLE_MS = '60000'
local ALIVE_MS = '12000'
local owner, client, idle_ms, alive_ms = ARGV[1], ARGV[2], tonumber(IDLE_MS), tonumber(ALIVE_MS)
local function gone()
call('HDEL', KEYS[3], 'w' .. owner)
return { 'gone' }
end
local left = call('GET', KEYS[4])
if left == '\\255' then return gone() end
if left and string.byte(left) == 255 then return { 'displaced', string.sub(left, 2) } end
if left and string.byte(left) ~= 254 then return { 'result', left } end
local time = call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)
local function digits(number)
return string.format('%.0f', number)
end
local function expire(key, ms)
if ms then
call('PEXPIRE', key, digits(ms))
else
call('PERSIST', key)
end
end
local FIRST_TICKET = 1e15 -- in the queue, what is below is the end of a shared lease
local FOREVER = 9e14
local NOTES_OF_A_RUN = 1000000000
local function runs_of(text)
local runs, at = { begun = {}, taken = {} }, 1
while at <= #text do
local kind, from, count, first, not_before, length, start =
string.match(text, '^([pbs])(%d+),(%d+),(%d*),(%d*),(%d+):()', at)
local run = {
owner = string.sub(text, start, start + length - 1),
from = tonumber(from),
count = tonumber(count),
first = tonumber(first),
not_before = tonumber(not_before),
unasked = kind == 's' or nil,
}
if kind == 'p' then
runs.pending = run
else
runs.begun[#runs.begun + 1] = run
end
runs.taken[math.floor(run.from / NOTES_OF_A_RUN)] = true
at = start + length
end
return runs
end
local function lock_at(lock, queue, details, owner)
local l = {
lock = lock,
queue = queue,
details = details,
holder = call('GET', lock),
size = call('ZCARD', queue),
over = {},
owner = owner,
}
local known = call('HMGET', details, 'p', 'd', 'o' .. owner, 'w' .. owner)
l.mine, l.watched = known[3], known[4]
l.durable = tonumber(known[2] or 0)
l.runs = known[1] and runs_of(known[1]) or nil
if known[1] or known[2] or known[3] or known[4] or l.size > 0 then l.detailed = true end
return l
end
local function detailed(l)
if l.detailed == nil then l.detailed = call('HLEN', l.details) > 0 end
return l.detailed
end
local function claim_of(owner, text)
if not text then return nil end
local mode, limit, noted, durable, ttl, of, fence, comma, meta =
string.match(text, '^([xs])(%d*)(n?)(d?),(%d+),(%S*) (%d*)(,?)(.*)$')
if not mode then return nil end
if comma == '' then meta = nil end
return {
owner = owner,
mode = mode,
limit = limit,
noted = noted ~= '' or nil,
durable = durable ~= '' or nil,
ttl = ttl,
client = of,
fence = fence,
meta = meta,
}
end
local function note_of(claim, fence)
local flags = (claim.noted and 'n' or '') .. (claim.durable and 'd,' or ',')
local text = claim.mode .. claim.limit .. flags .. claim.ttl .. ',' .. claim.client .. ' ' .. (fence or '')
if claim.meta then text = text .. ',' .. claim.meta end
return text
end
local function shared_left(l, last)
local found
if last then
found = call('ZRANGE', l.queue, '(1e15', '(' .. digits(now), 'BYSCORE', 'REV', 'LIMIT', 0, 1, 'WITHSCORES')
else
found = call('ZRANGE', l.queue, '(' .. digits(now), '(1e15', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
end
if not found[1] then return nil end
local ends = tonumber(found[2])
return found[1], ends >= FOREVER and -1 or ends - now
end
local function has_runs(l)
return l.runs and (l.runs.pending or #l.runs.begun > 0)
end
local function keep(l)
local in_queue, in_details = 0, 0
if l.durable > 0 then
in_queue, in_details = -1, -1
elseif l.holder then
l.left = l.left or call('PTTL', l.lock)
in_details = l.left
if in_details == -1 and not has_runs(l) and call('HEXISTS', l.details, 'o' .. l.holder) == 0 then in_details = 0 end
else
local _, left = shared_left(l, true)
in_queue, in_details = left or 0, left or 0
end
expire(l.queue, in_queue >= 0 and in_queue + idle_ms or nil)
expire(l.details, in_details >= 0 and in_details + idle_ms or nil)
end
local function has_room(l, claim)
if l.holder then return false end
if l.size == 0 then return true end
l.shared = l.shared or call('ZCOUNT', l.queue, '(' .. digits(now), '(1e15')
if claim.mode == 'x' then return l.shared == 0 end
return claim.limit == '' or l.shared < tonumber(claim.limit)
end
local function hold(l, claim, ttl, fence, noted)
if claim.mode == 'x' then
if ttl == '0' then
call('SET', l.lock, claim.owner)
else
call('SET', l.lock, claim.owner, 'PX', ttl)
end
l.holder, l.left, l.freed = claim.owner, ttl == '0' and -1 or tonumber(ttl), false
if noted then
call('HSET', l.details, 'o' .. claim.owner, note_of(claim, fence))
l.detailed, l.noted, l.to_keep = true, true, true
elseif detailed(l) then
l.over[#l.over + 1] = 'o' .. claim.owner
if l.runs then l.to_keep = true end
end
else
local ends = ttl == '0' and FOREVER or now + ttl
l.size = l.size + call('ZADD', l.queue, digits(ends), claim.owner)
call('HSET', l.details, 'o' .. claim.owner, note_of(claim, fence))
l.detailed, l.to_keep = true, true
if l.shared then l.shared = l.shared + 1 end
end
end
local function forget_over(l)
for from = 1, #l.over, 1000 do
call('HDEL', l.details, unpack(l.over, from, math.min(from + 999, #l.over)))
end
l.over = {}
end
local function settle(l)
if l.freed then call('DEL', l.lock) end
if l.size == 0 and not l.holder then
if detailed(l) then call('DEL', l.details) end
return
end
forget_over(l)
if l.write_runs then l.write_runs(l) end
if l.to_keep then keep(l) end
if l.size > 0 or l.noted or has_runs(l) or not detailed(l) then return end
local notes = call('HMGET', l.details, 'o' .. l.holder, 'w' .. l.holder)
if not (notes[1] or notes[2]) then call('DEL', l.details) end
end
local l = lock_at(KEYS[1], KEYS[2], KEYS[3], owner)
local score = l.size > 0 and tonumber(call('ZSCORE', l.queue, owner) or nil)
if l.holder ~= owner and not (score and score > now) then return gone() end
if l.holder ~= owner and score >= FIRST_TICKET then
local claim = claim_of(owner, l.mine)
if claim and not claim.durable and claim.client ~= client then
local alive = string.match(call('HGET', l.details, 'c' .. claim.client) or '', '^(%d+)')
if not alive or tonumber(alive) <= now then
call('ZREM', l.queue, owner)
call('HDEL', l.details, 'o' .. owner, 'j' .. owner)
return gone()
end
end
end
local watchers = client .. ' ' .. digits(now + alive_ms) .. ' '
for other, until_ms in string.gmatch(l.watched or '', '(%S+) (%d+) ') do
if other ~= client and tonumber(until_ms) > now then watchers = watchers .. other .. ' ' .. until_ms .. ' ' end
end
call('HSET', l.details, 'w' .. owner, watchers)
keep(l)
return { 'live' }
`,
  },
}
