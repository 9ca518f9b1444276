// Made by scripts/embed.js from the files of src/backends/redis; edit those.
export const scripts: Readonly<Record<'claiming' | 'inspect' | 'steps' | 'watch', { readonly sha1: string; readonly source: string }>> = {
  claiming: {
    sha1: '7a650f5e2bc39a447bee99fa5cae3838768766d8',
    source: `local lock, owner = KEYS[#KEYS], ARGV[#ARGV]
local holder = redis.call('GET', lock)
if holder and holder ~= owner then return { 'held', holder } end
local function body()
-- @body
end
local answer = body()
if type(answer) == 'string' and string.sub(owner, -#answer - 1) == ':' .. answer then
redis.call('SET', lock, owner)
end
return answer
`,
  },
  inspect: {
    sha1: '70177157a50aedc7f20190d8edd0cd369a47035a',
    source: `local call, try = redis.call, redis.pcall
local show, show_of_all = tonumber(ARGV[1]), tonumber(ARGV[2])
local function digits(number)
return string.format('%.0f', number)
end
local function fence_after(last, now_us)
last = tonumber(last)
if last and last >= now_us and last < 9e15 then return math.floor(last) + 1 end
return now_us
end
local function set_mark(fence, idle_ms)
call('SET', KEYS[1], digits(fence), 'PXAT', digits(math.floor(fence / 1000) + idle_ms))
end
local time = call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)
local function expire(key, ms)
if ms then
call('PEXPIRE', key, digits(ms))
else
call('PERSIST', key)
end
end
local FIRST_TICKET = 1e15 -- in the queue, what is below is the end of a shared lease
local FOREVER = 9e14
local function lock_at(k)
local l = { lock = KEYS[k], queue = KEYS[k + 1], details = KEYS[k + 2] }
l.holder = call('GET', l.lock)
l.size = call('ZCARD', l.queue)
l.detailed = call('HLEN', l.details) > 0
return l
end
local function noted_claim(l, owner)
local text = call('HGET', l.details, 'o' .. owner)
if not text then return nil end
local mode, limit, ttl, of, fence, comma, meta = string.match(text, '^([xs])(%d*),(%d+),(%S+) (%d*)(,?)(.*)$')
if not mode then return nil end
return {
owner = owner,
mode = mode,
limit = tonumber(limit),
ttl = tonumber(ttl),
client = of,
fence = fence,
meta = comma ~= '' and meta or nil,
}
end
local function note_of(claim, fence)
local limit = claim.limit and digits(claim.limit) or ''
local text = claim.mode .. limit .. ',' .. digits(claim.ttl) .. ',' .. claim.client .. ' '
if fence then text = text .. digits(fence) end
if claim.meta then text = text .. ',' .. claim.meta end
return 'o' .. claim.owner, text
end
local function exclusive_left(l)
if not l.left then l.left = call('PTTL', l.lock) end
return l.left
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
local function keep(l)
local in_queue, in_details = 0, 0
if l.holder then
in_details = exclusive_left(l)
if in_details == -1 and call('HEXISTS', l.details, 'o' .. l.holder) == 0 then in_details = 0 end
else
local _, left = shared_left(l, true)
in_queue, in_details = left or 0, left or 0
end
expire(l.queue, in_queue >= 0 and in_queue + idle_ms or nil)
expire(l.details, in_details >= 0 and in_details + idle_ms or nil)
end
local function shared_count(l)
if not l.shared then l.shared = call('ZCOUNT', l.queue, '(' .. digits(now), '(1e15') end
return l.shared
end
local function fits(l, claim)
if l.holder then return false end
if l.size == 0 then return true end
local shared = shared_count(l)
if claim.mode == 'x' then return shared == 0 end
return claim.limit == nil or shared < claim.limit
end
local function unnote(l, ...)
l.fields = l.fields or {}
for _, field in ipairs({ ... }) do
table.insert(l.fields, field)
end
end
local function hold(l, claim, ttl, fence, noted)
if claim.mode == 'x' then
if ttl > 0 then
call('SET', l.lock, claim.owner, 'PX', digits(ttl))
else
call('SET', l.lock, claim.owner)
end
l.holder, l.left, l.freed = claim.owner, ttl > 0 and ttl or -1, false
if noted then
call('HSET', l.details, note_of(claim, fence))
keep(l)
elseif l.detailed then
unnote(l, 'o' .. claim.owner)
end
else
l.size = l.size + call('ZADD', l.queue, digits(ttl > 0 and now + ttl or FOREVER), claim.owner)
call('HSET', l.details, note_of(claim, fence))
if l.shared then l.shared = l.shared + 1 end
keep(l)
end
end
local function purge(l)
local gone = call('ZRANGE', l.queue, '-inf', digits(now), 'BYSCORE', 'LIMIT', 0, 100)
if #gone == 0 then return end
l.size = l.size - call('ZREM', l.queue, unpack(gone))
for i, owner in ipairs(gone) do
gone[i] = 'o' .. owner
end
call('HDEL', l.details, unpack(gone))
end
local function tidy(l)
local function needed()
if l.size > 0 then return true end
if not l.holder then return false end
local notes = call('HMGET', l.details, 'o' .. l.holder, 'w' .. l.holder)
return notes[1] or notes[2]
end
if l.fields then call('HDEL', l.details, unpack(l.fields)) end
if not needed() then call('DEL', l.details) end
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
local function inspect(k)
local lock, queue, details = KEYS[k], KEYS[k + 1], KEYS[k + 2]
local from, to = '(' .. digits(now), '(1e15'
local holder = of_type(try('GET', lock), false)
local shared = of_type(try('ZCOUNT', queue, from, to), 0)
local waiting = of_type(try('ZCOUNT', queue, FIRST_TICKET, '+inf'), 0)
local state = { digits(now), shared + (holder and 1 or 0), waiting }
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
  steps: {
    sha1: '97af23bed8c4dced13733ea68c8f1fc4dbb98cbc',
    source: `local call, try = redis.call, redis.pcall
if #KEYS == 4 and call('EXISTS', KEYS[4]) == 0 then
local lock, owner, terms = KEYS[2], ARGV[5], ARGV[6]
if terms == '' then
if try('GET', lock) == owner then
call('DEL', lock)
return '1'
end
else
local ttl = string.byte(terms) == 116 and string.sub(terms, 2) or terms
if tonumber(ttl) and ttl ~= '0' and call('SET', lock, owner, 'PX', ttl, 'NX') then
local time = call('TIME')
local fence = string.format('%d%06d', time[1], time[2])
local last = try('SET', KEYS[1], fence, 'PX', ARGV[3], 'GET')
if not last or type(last) == 'string' and #last == #fence and last < fence then return fence end
if type(last) == 'string' then call('SET', KEYS[1], last) end
end
end
end
local function digits(number)
return string.format('%.0f', number)
end
local function fence_after(last, now_us)
last = tonumber(last)
if last and last >= now_us and last < 9e15 then return math.floor(last) + 1 end
return now_us
end
local function set_mark(fence, idle_ms)
call('SET', KEYS[1], digits(fence), 'PXAT', digits(math.floor(fence / 1000) + idle_ms))
end
local time = call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)
local function expire(key, ms)
if ms then
call('PEXPIRE', key, digits(ms))
else
call('PERSIST', key)
end
end
local function plain_ttl(terms)
if tonumber(terms) then return terms end
if string.byte(terms) == 116 then return string.sub(terms, 2) end
end
local function take(lock, owner, ttl)
if ttl == '0' then return try('SET', lock, owner, 'NX') end
return try('SET', lock, owner, 'PX', ttl, 'NX')
end
local client, idle_ms = ARGV[2], tonumber(ARGV[3])
local hears, on_cluster, grant_ms, alive_ms, long_at_most, results =
string.match(ARGV[4], '^(%d) (%d) (%d+) (%d+) (%d+) (%d+)$')
hears, on_cluster = hears == '1', on_cluster == '1'
grant_ms, alive_ms, long_at_most = tonumber(grant_ms), tonumber(alive_ms), tonumber(long_at_most)
local count = (#KEYS - 1 - results) / 3
local first_fence, next_fence, marked_up_to
local function read_mark()
first_fence = fence_after(try('GET', KEYS[1]), now_us)
next_fence, marked_up_to = first_fence, first_fence
end
local function new_fence()
if not next_fence then read_mark() end
next_fence = next_fence + 1
return next_fence - 1
end
local function mark()
if next_fence == marked_up_to then return end
set_mark(next_fence - 1, idle_ms)
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
all[2] = table.concat(letters)
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
local noted = has_details and try('HGET', details, 'o' .. owner)
if noted and noted.err then return 'e', noted.err end
if ttl == '0' then
call('PERSIST', lock)
else
call('PEXPIRE', lock, ttl)
end
local notes = not noted and brought ~= ''
if notes then call('HSET', details, 'o' .. owner, 'x,' .. ttl .. ',' .. client .. ' ' .. brought) end
if noted or notes then expire(details, ttl ~= '0' and ttl + idle_ms or nil) end
return held(noted, brought)
end
local long = {}
local function is_all(details, owner)
return try('HLEN', details) == 1 and call('HEXISTS', details, 'o' .. owner) == 1
end
if count > 1 then
read_mark()
local locks, details, first_of, twice, has_details = {}, {}, {}, {}, {}
for j = 1, count do
local lock = KEYS[3 * j - 1]
locks[j], details[j] = lock, KEYS[3 * j + 1]
local first = first_of[lock]
if first then
twice[first], twice[j] = true, true
else
first_of[lock] = j
end
end
if call('EXISTS', unpack(details)) > 0 then
for j = 1, count do
has_details[j] = call('EXISTS', details[j]) == 1
end
end
local holders = call('MGET', unpack(locks))
local released = {}
local at = 5
for j = 1, count do
local owner, terms, here = ARGV[at], ARGV[at + 1], at
local kind = string.byte(terms)
at = at + 2
local holder = holders[j]
local letter, extra
if kind == 33 or kind == 120 or kind == 115 then -- '!', 'x' and 's': texts may follow
if kind == 33 then
at = at + 1
else
local _, meta_and_other = string.match(terms, '^(.*,)([mr]*)$')
at = at + #meta_and_other
end
elseif twice[j] then
letter = nil
elseif kind == 61 then -- '='
if holder == owner then letter, extra = extend(locks[j], details[j], has_details[j], owner, terms) end
elseif has_details[j] then
if not kind and holder == owner and is_all(details[j], owner) then
released[#released + 1] = locks[j]
released[#released + 1] = details[j]
letter = '1'
end
elseif not kind then
if holder == owner then
released[#released + 1] = locks[j]
letter = '1'
elseif holder then
letter = '0'
end
elseif not holder then
local taken = take(locks[j], owner, plain_ttl(terms))
if taken and taken.err then
letter, extra = 'e', taken.err
elseif taken then
letter = 'g'
next_fence = next_fence + 1
end
end
if letter then
letters[j], extras[j] = letter, extra
else
long[#long + 1] = { j, here }
end
end
if #released > 0 then call('DEL', unpack(released)) end
else
long[1] = { 1, 5 }
end
if #long == 0 then return reply() end
local FIRST_TICKET = 1e15 -- in the queue, what is below is the end of a shared lease
local FOREVER = 9e14
local function lock_at(k)
local l = { lock = KEYS[k], queue = KEYS[k + 1], details = KEYS[k + 2] }
l.holder = call('GET', l.lock)
l.size = call('ZCARD', l.queue)
l.detailed = call('HLEN', l.details) > 0
return l
end
local function noted_claim(l, owner)
local text = call('HGET', l.details, 'o' .. owner)
if not text then return nil end
local mode, limit, ttl, of, fence, comma, meta = string.match(text, '^([xs])(%d*),(%d+),(%S+) (%d*)(,?)(.*)$')
if not mode then return nil end
return {
owner = owner,
mode = mode,
limit = tonumber(limit),
ttl = tonumber(ttl),
client = of,
fence = fence,
meta = comma ~= '' and meta or nil,
}
end
local function note_of(claim, fence)
local limit = claim.limit and digits(claim.limit) or ''
local text = claim.mode .. limit .. ',' .. digits(claim.ttl) .. ',' .. claim.client .. ' '
if fence then text = text .. digits(fence) end
if claim.meta then text = text .. ',' .. claim.meta end
return 'o' .. claim.owner, text
end
local function exclusive_left(l)
if not l.left then l.left = call('PTTL', l.lock) end
return l.left
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
local function keep(l)
local in_queue, in_details = 0, 0
if l.holder then
in_details = exclusive_left(l)
if in_details == -1 and call('HEXISTS', l.details, 'o' .. l.holder) == 0 then in_details = 0 end
else
local _, left = shared_left(l, true)
in_queue, in_details = left or 0, left or 0
end
expire(l.queue, in_queue >= 0 and in_queue + idle_ms or nil)
expire(l.details, in_details >= 0 and in_details + idle_ms or nil)
end
local function shared_count(l)
if not l.shared then l.shared = call('ZCOUNT', l.queue, '(' .. digits(now), '(1e15') end
return l.shared
end
local function fits(l, claim)
if l.holder then return false end
if l.size == 0 then return true end
local shared = shared_count(l)
if claim.mode == 'x' then return shared == 0 end
return claim.limit == nil or shared < claim.limit
end
local function unnote(l, ...)
l.fields = l.fields or {}
for _, field in ipairs({ ... }) do
table.insert(l.fields, field)
end
end
local function hold(l, claim, ttl, fence, noted)
if claim.mode == 'x' then
if ttl > 0 then
call('SET', l.lock, claim.owner, 'PX', digits(ttl))
else
call('SET', l.lock, claim.owner)
end
l.holder, l.left, l.freed = claim.owner, ttl > 0 and ttl or -1, false
if noted then
call('HSET', l.details, note_of(claim, fence))
keep(l)
elseif l.detailed then
unnote(l, 'o' .. claim.owner)
end
else
l.size = l.size + call('ZADD', l.queue, digits(ttl > 0 and now + ttl or FOREVER), claim.owner)
call('HSET', l.details, note_of(claim, fence))
if l.shared then l.shared = l.shared + 1 end
keep(l)
end
end
local function purge(l)
local gone = call('ZRANGE', l.queue, '-inf', digits(now), 'BYSCORE', 'LIMIT', 0, 100)
if #gone == 0 then return end
l.size = l.size - call('ZREM', l.queue, unpack(gone))
for i, owner in ipairs(gone) do
gone[i] = 'o' .. owner
end
call('HDEL', l.details, unpack(gone))
end
local function tidy(l)
local function needed()
if l.size > 0 then return true end
if not l.holder then return false end
local notes = call('HMGET', l.details, 'o' .. l.holder, 'w' .. l.holder)
return notes[1] or notes[2]
end
if l.fields then call('HDEL', l.details, unpack(l.fields)) end
if not needed() then call('DEL', l.details) end
end
local work = 0
local function push(to, ...)
return call('PUBLISH', ARGV[1] .. to, cjson.encode({ 2, ... }))
end
local function reachable(l, of)
local until_ms, unsure = string.match(call('HGET', l.details, 'c' .. of) or '', '^(%d+)(%??)$')
return until_ms and tonumber(until_ms) > now, unsure == '?'
end
local function advance(l, j)
while not l.holder do
local head = call('ZRANGE', l.queue, FIRST_TICKET, '+inf', 'BYSCORE', 'LIMIT', 0, 1)[1]
if not head then return false end
if work > long_at_most then return true end
local claim = noted_claim(l, head)
local at_home = claim and claim.client == client
local alive, unsure = at_home, false
if claim and not at_home then alive, unsure = reachable(l, claim.client) end
if alive and not fits(l, claim) then return false end
l.size = l.size - call('ZREM', l.queue, head)
if at_home then
local fence = new_fence()
hold(l, claim, claim.ttl, fence, claim.meta ~= nil)
for _, part in ipairs({ j, head, digits(fence) }) do
table.insert(handed, part)
end
work = work + 0.5
elseif alive then
local fence = new_fence()
mark()
local receivers = push(claim.client, 'granted', l.lock, head, digits(fence))
if receivers > 0 or on_cluster or unsure then
hold(l, claim, claim.ttl > 0 and math.min(claim.ttl, grant_ms) or grant_ms, fence, true)
else
call('HDEL', l.details, 'o' .. head, 'c' .. claim.client)
end
work = work + 1
else
unnote(l, 'o' .. head)
work = work + 0.25
end
end
return false
end
local function enqueue(l, claim, ticket)
local requeued = ticket ~= 'new'
if not requeued then
local last = l.size > 0 and call('ZRANGE', l.queue, 0, 0, 'REV', 'WITHSCORES')[2]
ticket = digits(math.max(now_us, FIRST_TICKET, last and tonumber(last) + 1 or 0))
end
if call('ZADD', l.queue, 'NX', ticket, claim.owner) == 1 then
l.size = l.size + 1
else
local place = tonumber(call('ZSCORE', l.queue, claim.owner))
if place < FIRST_TICKET then
call('ZADD', l.queue, ticket, claim.owner)
else
ticket, requeued = digits(place), false
end
end
local field, text = note_of(claim, nil)
local sure = hears and not requeued
call('HSET', l.details, field, text, 'c' .. client, digits(now + alive_ms) .. (sure and '' or '?'))
keep(l)
return ticket, requeued
end
local function forget(l, owner)
if not l.detailed then return nil end
local notes = call('HMGET', l.details, 'o' .. owner, 'w' .. owner)
unnote(l, 'o' .. owner, 'w' .. owner)
for watcher, until_ms in string.gmatch(notes[2] or '', '(%S+) (%d+) ') do
if tonumber(until_ms) > now then push(watcher, 'ended', l.lock, owner) end
end
return notes[1]
end
local function grant(l, claim)
local fence = new_fence()
hold(l, claim, claim.ttl, fence, claim.meta ~= nil)
if claim.mode == 'x' and l.size > 0 then l.size = l.size - call('ZREM', l.queue, claim.owner) end
return 'G', digits(fence)
end
local function grant_again(l, claim)
local noted = l.detailed and noted_claim(l, claim.owner)
local fence = noted and tonumber(noted.fence)
if not fence then return grant(l, claim) end
hold(l, claim, claim.ttl, fence, true)
return 'G', digits(fence)
end
local function busy(l, more, ticket, requeued)
local holder, left = l.holder, nil
if holder then
left = exclusive_left(l)
else
holder, left = shared_left(l, false)
end
local ms = ''
if more then
ms = '0'
elseif left and left >= 0 then
ms = digits(math.max(left, 1))
end
return 'b', { holder or '', ms, ticket, requeued and '1' or '0' }
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
local function acquire(l, j, claim, ticket, replaces)
local owner = claim.owner
if l.holder == owner then
claim.mode = 'x'
return grant_again(l, claim)
end
local more, requeued = false, false
if l.holder then
if replaces == l.holder and claim.mode == 'x' then
local before = l.holder
local letter, fence = grant(l, claim)
forget(l, before)
return letter, fence
end
if ticket ~= '' then ticket, requeued = enqueue(l, claim, ticket) end
return busy(l, false, ticket, requeued)
end
if l.size == 0 then return grant(l, claim) end
local score = tonumber(call('ZSCORE', l.queue, owner) or nil)
if score and score > now and score < FIRST_TICKET then
claim.mode = 's'
return grant_again(l, claim)
end
purge(l)
local function waiting()
return call('ZCOUNT', l.queue, FIRST_TICKET, '+inf') > 0
end
local others = waiting()
if not others and fits(l, claim) then return grant(l, claim) end
if ticket ~= '' then ticket, requeued = enqueue(l, claim, ticket) end
if others then
local from = #handed + 1
more = advance(l, j)
local fence = handed_to(owner, from)
if fence then return 'G', fence end
if ticket == '' and not more and fits(l, claim) and not waiting() then return grant(l, claim) end
end
return busy(l, more, ticket, requeued)
end
local function release(l, j, owner, kept)
local was_held, was_here = l.holder == owner, false
if was_held then
l.holder, l.left, l.freed, l.shared = nil, nil, true, 0
elseif l.size > 0 then
local score = tonumber(call('ZSCORE', l.queue, owner) or nil)
if score then
was_here = true
was_held = score > now and score < FIRST_TICKET
l.size = l.size - call('ZREM', l.queue, owner)
end
end
local more = false
if l.size > 0 and not l.holder then
if not l.freed then purge(l) end
more = advance(l, j)
end
if l.freed then call('DEL', l.lock) end
local noted = (was_held or was_here) and forget(l, owner)
if noted and l.size > 0 and (was_here or string.match(noted, '^x,0,')) then keep(l) end
if was_held and kept then call('SET', kept.key, kept.text, 'PX', kept.ms) end
if more then return was_held and '3' or '2' end
return was_held and '1' or '0'
end
local function renew(l, owner, terms)
if l.holder == owner then return extend(l.lock, l.details, l.detailed, owner, terms) end
local score = l.size > 0 and tonumber(call('ZSCORE', l.queue, owner) or nil)
if not score or score <= now or score >= FIRST_TICKET then return 'l' end
local ttl, brought = string.match(terms, '^=(%d+),(%d*)$')
ttl = tonumber(ttl)
call('ZADD', l.queue, digits(ttl > 0 and now + ttl or FOREVER), owner)
local noted = call('HGET', l.details, 'o' .. owner)
if not noted and brought ~= '' then
call('HSET', l.details, 'o' .. owner, 's,' .. digits(ttl) .. ',' .. client .. ' ' .. brought)
end
keep(l)
return held(noted, brought)
end
local next_result = 3 * count + 2
local function result_key()
next_result = next_result + 1
return KEYS[next_result - 1]
end
local function do_step(j, at, key)
local l = lock_at(3 * j - 1)
local owner, terms = ARGV[at], ARGV[at + 1]
local kind = string.byte(terms)
local letter, extra
if not kind then
letter = release(l, j, owner, nil)
elseif kind == 33 then
letter = release(l, j, owner, { ms = string.sub(terms, 2), text = ARGV[at + 2], key = key })
elseif kind == 61 then
letter, extra = renew(l, owner, terms)
else
local claim = { owner = owner, mode = 'x', client = client }
local ttl, ticket, replaces = plain_ttl(terms), 'new', nil
if ttl then
if kind == 116 then ticket = '' end
else
local limit, meta, other
claim.mode, limit, ttl, ticket, meta, other = string.match(terms, '^([xs])(%d*),(%d+),(%w*),(m?)(r?)$')
claim.limit = tonumber(limit)
at = at + 2
if meta ~= '' then
claim.meta = ARGV[at]
at = at + 1
end
if other ~= '' then replaces = ARGV[at] end
end
claim.ttl = tonumber(ttl)
letter, extra = acquire(l, j, claim, ticket, replaces)
end
if l.detailed then tidy(l) end
return letter, extra
end
local full = false
for _, step in ipairs(long) do
local j, at = step[1], step[2]
local key = string.byte(ARGV[at + 1]) == 33 and result_key() or nil
full = full or work >= long_at_most
if full then
letters[j] = 'a'
else
work = work + (string.byte(ARGV[at + 1]) == 61 and 0.25 or 1)
local before = next_fence
local done, letter, extra = pcall(do_step, j, at, key)
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
    sha1: '82cfde26cc8d125e6e7f3980fc5ea45a8f8d874b',
    source: `local call, try = redis.call, redis.pcall
local owner, client, idle_ms, alive_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local result = call('GET', KEYS[4])
if result then return { 'result', result } end
local function digits(number)
return string.format('%.0f', number)
end
local function fence_after(last, now_us)
last = tonumber(last)
if last and last >= now_us and last < 9e15 then return math.floor(last) + 1 end
return now_us
end
local function set_mark(fence, idle_ms)
call('SET', KEYS[1], digits(fence), 'PXAT', digits(math.floor(fence / 1000) + idle_ms))
end
local time = call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)
local function expire(key, ms)
if ms then
call('PEXPIRE', key, digits(ms))
else
call('PERSIST', key)
end
end
local FIRST_TICKET = 1e15 -- in the queue, what is below is the end of a shared lease
local FOREVER = 9e14
local function lock_at(k)
local l = { lock = KEYS[k], queue = KEYS[k + 1], details = KEYS[k + 2] }
l.holder = call('GET', l.lock)
l.size = call('ZCARD', l.queue)
l.detailed = call('HLEN', l.details) > 0
return l
end
local function noted_claim(l, owner)
local text = call('HGET', l.details, 'o' .. owner)
if not text then return nil end
local mode, limit, ttl, of, fence, comma, meta = string.match(text, '^([xs])(%d*),(%d+),(%S+) (%d*)(,?)(.*)$')
if not mode then return nil end
return {
owner = owner,
mode = mode,
limit = tonumber(limit),
ttl = tonumber(ttl),
client = of,
fence = fence,
meta = comma ~= '' and meta or nil,
}
end
local function note_of(claim, fence)
local limit = claim.limit and digits(claim.limit) or ''
local text = claim.mode .. limit .. ',' .. digits(claim.ttl) .. ',' .. claim.client .. ' '
if fence then text = text .. digits(fence) end
if claim.meta then text = text .. ',' .. claim.meta end
return 'o' .. claim.owner, text
end
local function exclusive_left(l)
if not l.left then l.left = call('PTTL', l.lock) end
return l.left
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
local function keep(l)
local in_queue, in_details = 0, 0
if l.holder then
in_details = exclusive_left(l)
if in_details == -1 and call('HEXISTS', l.details, 'o' .. l.holder) == 0 then in_details = 0 end
else
local _, left = shared_left(l, true)
in_queue, in_details = left or 0, left or 0
end
expire(l.queue, in_queue >= 0 and in_queue + idle_ms or nil)
expire(l.details, in_details >= 0 and in_details + idle_ms or nil)
end
local function shared_count(l)
if not l.shared then l.shared = call('ZCOUNT', l.queue, '(' .. digits(now), '(1e15') end
return l.shared
end
local function fits(l, claim)
if l.holder then return false end
if l.size == 0 then return true end
local shared = shared_count(l)
if claim.mode == 'x' then return shared == 0 end
return claim.limit == nil or shared < claim.limit
end
local function unnote(l, ...)
l.fields = l.fields or {}
for _, field in ipairs({ ... }) do
table.insert(l.fields, field)
end
end
local function hold(l, claim, ttl, fence, noted)
if claim.mode == 'x' then
if ttl > 0 then
call('SET', l.lock, claim.owner, 'PX', digits(ttl))
else
call('SET', l.lock, claim.owner)
end
l.holder, l.left, l.freed = claim.owner, ttl > 0 and ttl or -1, false
if noted then
call('HSET', l.details, note_of(claim, fence))
keep(l)
elseif l.detailed then
unnote(l, 'o' .. claim.owner)
end
else
l.size = l.size + call('ZADD', l.queue, digits(ttl > 0 and now + ttl or FOREVER), claim.owner)
call('HSET', l.details, note_of(claim, fence))
if l.shared then l.shared = l.shared + 1 end
keep(l)
end
end
local function purge(l)
local gone = call('ZRANGE', l.queue, '-inf', digits(now), 'BYSCORE', 'LIMIT', 0, 100)
if #gone == 0 then return end
l.size = l.size - call('ZREM', l.queue, unpack(gone))
for i, owner in ipairs(gone) do
gone[i] = 'o' .. owner
end
call('HDEL', l.details, unpack(gone))
end
local function tidy(l)
local function needed()
if l.size > 0 then return true end
if not l.holder then return false end
local notes = call('HMGET', l.details, 'o' .. l.holder, 'w' .. l.holder)
return notes[1] or notes[2]
end
if l.fields then call('HDEL', l.details, unpack(l.fields)) end
if not needed() then call('DEL', l.details) end
end
local l = lock_at(1)
local score = l.size > 0 and tonumber(call('ZSCORE', l.queue, owner) or nil)
if l.holder ~= owner and not (score and score > now) then return { 'gone' } end
local watchers = client .. ' ' .. digits(now + alive_ms) .. ' '
for other, until_ms in string.gmatch(call('HGET', l.details, 'w' .. owner) or '', '(%S+) (%d+) ') do
if other ~= client and tonumber(until_ms) > now then watchers = watchers .. other .. ' ' .. until_ms .. ' ' end
end
call('HSET', l.details, 'w' .. owner, watchers)
keep(l)
return { 'live' }
`,
  },
}
