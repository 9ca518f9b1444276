// Made by scripts/embed.js from the files of src/backends/redis; edit those.
export const scripts: Readonly<Record<'claiming' | 'inspect' | 'moving' | 'steps' | 'watch', { readonly sha1: string; readonly source: string }>> = {
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
    sha1: '41f577db908a4f9bd26d4020fecf72223659c745',
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
local function lock_at(k)
local lock, queue, details = KEYS[k], KEYS[k + 1], KEYS[k + 2]
return {
lock = lock,
queue = queue,
details = details,
holder = call('GET', lock),
size = call('ZCARD', queue),
detailed = call('HLEN', details) > 0,
over = {},
}
end
local function noted_claim(l, owner)
local text = call('HGET', l.details, 'o' .. owner)
if not text then return nil end
local mode, limit, noted, ttl, of, fence, comma, meta =
string.match(text, '^([xs])(%d*)(n?),(%d+),(%S+) (%d*)(,?)(.*)$')
if not mode then return nil end
if comma == '' then meta = nil end
return {
owner = owner,
mode = mode,
limit = limit,
noted = noted ~= '' or nil,
ttl = ttl,
client = of,
fence = fence,
meta = meta,
}
end
local function note_of(claim, fence)
local text = claim.mode .. claim.limit .. (claim.noted and 'n,' or ',') .. claim.ttl .. ',' .. claim.client .. ' ' .. (fence or '')
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
local function keep(l)
local in_queue, in_details = 0, 0
if l.holder then
l.left = l.left or call('PTTL', l.lock)
in_details = l.left
if in_details == -1 and call('HEXISTS', l.details, 'o' .. l.holder) == 0 then in_details = 0 end
else
local _, left = shared_left(l, true)
in_queue, in_details = left or 0, left or 0
end
expire(l.queue, in_queue >= 0 and in_queue + idle_ms or nil)
expire(l.details, in_details >= 0 and in_details + idle_ms or nil)
end
local function fits(l, claim)
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
keep(l)
elseif l.detailed then
l.over[#l.over + 1] = 'o' .. claim.owner
end
else
local ends = ttl == '0' and FOREVER or now + ttl
l.size = l.size + call('ZADD', l.queue, digits(ends), claim.owner)
call('HSET', l.details, 'o' .. claim.owner, note_of(claim, fence))
if l.shared then l.shared = l.shared + 1 end
keep(l)
end
end
local function tidy(l)
if #l.over > 0 then call('HDEL', l.details, unpack(l.over)) end
if l.size > 0 then return end
if l.holder then
local notes = call('HMGET', l.details, 'o' .. l.holder, 'w' .. l.holder)
if notes[1] or notes[2] then return end
end
call('DEL', l.details)
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
    sha1: '5ab875dc8431c2eda02e6885e0412a435dd0ddec',
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
local client, idle_ms = ARGV[2], tonumber(ARGV[3])
local hears, on_cluster, grant_ms, alive_ms, long_at_most, results =
string.match(ARGV[4], '^(%d) (%d) (%d+) (%d+) (%d+) (%d+)$')
grant_ms, alive_ms, long_at_most = tonumber(grant_ms), tonumber(alive_ms), tonumber(long_at_most)
local count = (#KEYS - 1 - results) / 3
local first_fence, next_fence, marked_up_to
local function read_mark()
local last = tonumber(try('GET', KEYS[1]))
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
call('SET', KEYS[1], digits(last), 'PXAT', digits(math.floor(last / 1000) + idle_ms))
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
if count == 1 then
long[1] = { 1, 5 }
else
local locks, details, first_of, twice, has_details = {}, {}, {}, {}, {}
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
local holders = {}
if alone > 0 then
read_mark()
holders = call('MGET', unpack(locks))
if call('EXISTS', unpack(details)) > 0 then
for j = 1, count do
has_details[j] = call('EXISTS', details[j]) == 1
end
end
end
local released = {}
local at = 5
for j = 1, count do
local owner, terms, here = ARGV[at], ARGV[at + 1], at
local kind = string.byte(terms)
at = at + 2
local holder = holders[j]
local letter, extra
if kind == 33 or kind == 120 or kind == 115 then -- '!', 'x' and 's': texts may follow
at = at + (kind == 33 and 1 or #string.match(terms, '[mr]*$'))
elseif twice[j] then
letter = nil
elseif kind == 61 then -- '='
if holder == owner then letter, extra = extend(locks[j], details[j], has_details[j], owner, terms) end
elseif has_details[j] then
local all = not kind and holder == owner and try('HLEN', details[j]) == 1
if all and call('HEXISTS', details[j], 'o' .. owner) == 1 then
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
local ttl = kind == 116 and string.sub(terms, 2) or terms
local taken
if ttl == '0' then
taken = try('SET', locks[j], owner, 'NX')
else
taken = try('SET', locks[j], owner, 'PX', ttl, 'NX')
end
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
end
if #long == 0 then return reply() end
local function usual(j, at)
local lock, queue, details = KEYS[3 * j - 1], KEYS[3 * j], KEYS[3 * j + 1]
local owner, terms = ARGV[at], ARGV[at + 1]
local holder = call('GET', lock)
if terms == '' and holder == owner then
local first = call('ZRANGE', queue, 0, 1, 'WITHSCORES')
if not first[3] or tonumber(first[2]) < 1e15 then return nil end
local head = first[1]
local notes = call('HMGET', details, 'o' .. head, 'o' .. owner, 'w' .. owner)
local ttl = notes[1] and string.match(notes[1], '^x,([1-9]%d*),')
local bare = ttl and notes[1] == 'x,' .. ttl .. ',' .. client .. ' '
if not bare or notes[2] or notes[3] then return nil end
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
if left < 0 or not last or tonumber(last) < 1e15 or call('HEXISTS', details, 'o' .. owner) == 1 then return nil end
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
local function lock_at(k)
local lock, queue, details = KEYS[k], KEYS[k + 1], KEYS[k + 2]
return {
lock = lock,
queue = queue,
details = details,
holder = call('GET', lock),
size = call('ZCARD', queue),
detailed = call('HLEN', details) > 0,
over = {},
}
end
local function noted_claim(l, owner)
local text = call('HGET', l.details, 'o' .. owner)
if not text then return nil end
local mode, limit, noted, ttl, of, fence, comma, meta =
string.match(text, '^([xs])(%d*)(n?),(%d+),(%S+) (%d*)(,?)(.*)$')
if not mode then return nil end
if comma == '' then meta = nil end
return {
owner = owner,
mode = mode,
limit = limit,
noted = noted ~= '' or nil,
ttl = ttl,
client = of,
fence = fence,
meta = meta,
}
end
local function note_of(claim, fence)
local text = claim.mode .. claim.limit .. (claim.noted and 'n,' or ',') .. claim.ttl .. ',' .. claim.client .. ' ' .. (fence or '')
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
local function keep(l)
local in_queue, in_details = 0, 0
if l.holder then
l.left = l.left or call('PTTL', l.lock)
in_details = l.left
if in_details == -1 and call('HEXISTS', l.details, 'o' .. l.holder) == 0 then in_details = 0 end
else
local _, left = shared_left(l, true)
in_queue, in_details = left or 0, left or 0
end
expire(l.queue, in_queue >= 0 and in_queue + idle_ms or nil)
expire(l.details, in_details >= 0 and in_details + idle_ms or nil)
end
local function fits(l, claim)
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
keep(l)
elseif l.detailed then
l.over[#l.over + 1] = 'o' .. claim.owner
end
else
local ends = ttl == '0' and FOREVER or now + ttl
l.size = l.size + call('ZADD', l.queue, digits(ends), claim.owner)
call('HSET', l.details, 'o' .. claim.owner, note_of(claim, fence))
if l.shared then l.shared = l.shared + 1 end
keep(l)
end
end
local function tidy(l)
if #l.over > 0 then call('HDEL', l.details, unpack(l.over)) end
if l.size > 0 then return end
if l.holder then
local notes = call('HMGET', l.details, 'o' .. l.holder, 'w' .. l.holder)
if notes[1] or notes[2] then return end
end
call('DEL', l.details)
end
local function push(to, ...)
return call('PUBLISH', ARGV[1] .. to, cjson.encode({ 2, ... }))
end
local function grant_by_push(l, claim)
local alive, unsure = string.match(call('HGET', l.details, 'c' .. claim.client) or '', '^(%d+)(%??)$')
alive = alive and tonumber(alive) > now
if alive and not fits(l, claim) then return false end
l.size = l.size - call('ZREM', l.queue, claim.owner)
work = work + (alive and 1 or 0.25)
if alive then
local fence = digits(new_fence())
mark()
local receivers = push(claim.client, 'granted', l.lock, claim.owner, fence)
if receivers > 0 or on_cluster == '1' or unsure == '?' then
local ttl = claim.ttl ~= '0' and math.min(claim.ttl, grant_ms) or grant_ms
hold(l, claim, digits(ttl), fence, true)
return true
end
call('HDEL', l.details, 'c' .. claim.client)
end
l.over[#l.over + 1] = 'o' .. claim.owner
return true
end
local function advance(l, j)
while not l.holder do
local head = call('ZRANGE', l.queue, FIRST_TICKET, '+inf', 'BYSCORE', 'LIMIT', 0, 1)[1]
if not head then return false end
if work > long_at_most then return true end
local claim = noted_claim(l, head)
if not claim then
l.size = l.size - call('ZREM', l.queue, head)
work = work + 0.25
elseif claim.client == client then
if not fits(l, claim) then return false end
l.size = l.size - call('ZREM', l.queue, head)
local fence = digits(new_fence())
hold(l, claim, claim.ttl, fence, claim.meta or claim.noted)
local n = #handed
handed[n + 1], handed[n + 2], handed[n + 3] = j, head, fence
work = work + 0.5
elseif not grant_by_push(l, claim) then
return false
end
end
return false
end
local function enqueue(l, claim, ticket)
local requeued = ticket ~= 'new'
local place = requeued and tonumber(call('ZSCORE', l.queue, claim.owner) or nil)
if place and place >= FIRST_TICKET then
call('PERSIST', l.queue)
ticket, requeued = digits(place), false
else
if not requeued then
local last = l.size > 0 and call('ZRANGE', l.queue, 0, 0, 'REV', 'WITHSCORES')[2]
ticket = digits(math.max(now_us, FIRST_TICKET, last and last + 1 or 0))
end
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
local sure = hears == '1' and not requeued
local alive = digits(now + alive_ms) .. (sure and '' or '?')
call('HSET', l.details, 'o' .. claim.owner, note_of(claim), 'c' .. client, alive)
keep(l)
return ticket, requeued
end
local function forget(l, owner)
if not l.detailed then return nil end
local notes = call('HMGET', l.details, 'o' .. owner, 'w' .. owner)
l.over[#l.over + 1] = 'o' .. owner
if notes[2] then
l.over[#l.over + 1] = 'w' .. owner
for watcher, until_ms in string.gmatch(notes[2], '(%S+) (%d+) ') do
if tonumber(until_ms) > now then push(watcher, 'ended', l.lock, owner) end
end
end
return notes[1]
end
local function grant(l, claim, again)
local noted = again and l.detailed and noted_claim(l, claim.owner)
local fence = noted and noted.fence ~= '' and noted.fence
local has_note = fence or claim.meta or claim.noted
fence = fence or digits(new_fence())
hold(l, claim, claim.ttl, fence, has_note)
if claim.mode == 'x' and l.size > 0 then l.size = l.size - call('ZREM', l.queue, claim.owner) end
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
local function acquire_among(l, j, claim, ticket)
local owner = claim.owner
local score = tonumber(call('ZSCORE', l.queue, owner) or nil)
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
local function acquire(l, j, claim, ticket, replaces)
if l.holder == claim.owner then
claim.mode = 'x'
return grant(l, claim, true)
end
if l.holder then
if replaces == l.holder and claim.mode == 'x' then
local before = l.holder
local letter, fence = grant(l, claim)
forget(l, before)
return letter, fence
end
local requeued = false
if ticket ~= '' then ticket, requeued = enqueue(l, claim, ticket) end
return busy(l, false, ticket, requeued)
end
if l.size == 0 then return grant(l, claim) end
return acquire_among(l, j, claim, ticket)
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
local more = l.size > 0 and advance(l, j)
if l.freed then call('DEL', l.lock) end
local noted = (was_held or was_here) and forget(l, owner)
if noted and l.size > 0 and (was_here or string.sub(noted, 1, 4) == 'x,0,') then keep(l) end
if was_held and kept then call('SET', kept.key, kept.text, 'PX', kept.ms) end
if more then return was_held and '3' or '2' end
return was_held and '1' or '0'
end
local function renew(l, owner, terms)
if l.holder == owner then return extend(l.lock, l.details, l.detailed, owner, terms) end
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
local function do_step(j, at, result)
local l = lock_at(3 * j - 1)
local owner, terms = ARGV[at], ARGV[at + 1]
local kind = string.byte(terms)
local letter, extra
if not kind then
letter = release(l, j, owner, nil)
elseif kind == 33 then -- '!'
letter = release(l, j, owner, { ms = string.sub(terms, 2), text = ARGV[at + 2], key = result })
elseif kind == 61 then -- '='
letter, extra = renew(l, owner, terms)
else
local claim = { owner = owner, mode = 'x', limit = '', ttl = terms, client = client }
local ticket, replaces = 'new', nil
if kind == 116 then -- 't'
claim.ttl, ticket = string.sub(terms, 2), ''
elseif kind >= 115 then -- 'x' and 's'
local noted, meta, other
claim.mode, claim.limit, claim.ttl, ticket, noted, meta, other =
string.match(terms, '^([xs])(%d*),(%d+),(%w*),(n?)(m?)(r?)$')
claim.noted = noted ~= '' or nil
at = at + 2
if meta ~= '' then
claim.meta = ARGV[at]
at = at + 1
end
if other ~= '' then replaces = ARGV[at] end
end
letter, extra = acquire(l, j, claim, ticket, replaces)
end
if l.detailed then tidy(l) end
return letter, extra
end
local next_result = 3 * count + 2
local full = false
for i = next_long, #long do
local j, at = long[i][1], long[i][2]
local kind = string.byte(ARGV[at + 1])
local result = nil
if kind == 33 then
result = KEYS[next_result]
next_result = next_result + 1
end
full = full or work >= long_at_most
if full then
letters[j] = 'a'
else
work = work + (kind == 61 and 0.25 or 1)
local before = next_fence
local done, letter, extra = pcall(do_step, j, at, result)
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
    sha1: '47eba6dcfd6a8ae143fe8b05e7bc1c2698549873',
    source: `local call, try = redis.call, redis.pcall
local owner, client, idle_ms, alive_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local result = call('GET', KEYS[4])
if result then return { 'result', result } end
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
local function lock_at(k)
local lock, queue, details = KEYS[k], KEYS[k + 1], KEYS[k + 2]
return {
lock = lock,
queue = queue,
details = details,
holder = call('GET', lock),
size = call('ZCARD', queue),
detailed = call('HLEN', details) > 0,
over = {},
}
end
local function noted_claim(l, owner)
local text = call('HGET', l.details, 'o' .. owner)
if not text then return nil end
local mode, limit, noted, ttl, of, fence, comma, meta =
string.match(text, '^([xs])(%d*)(n?),(%d+),(%S+) (%d*)(,?)(.*)$')
if not mode then return nil end
if comma == '' then meta = nil end
return {
owner = owner,
mode = mode,
limit = limit,
noted = noted ~= '' or nil,
ttl = ttl,
client = of,
fence = fence,
meta = meta,
}
end
local function note_of(claim, fence)
local text = claim.mode .. claim.limit .. (claim.noted and 'n,' or ',') .. claim.ttl .. ',' .. claim.client .. ' ' .. (fence or '')
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
local function keep(l)
local in_queue, in_details = 0, 0
if l.holder then
l.left = l.left or call('PTTL', l.lock)
in_details = l.left
if in_details == -1 and call('HEXISTS', l.details, 'o' .. l.holder) == 0 then in_details = 0 end
else
local _, left = shared_left(l, true)
in_queue, in_details = left or 0, left or 0
end
expire(l.queue, in_queue >= 0 and in_queue + idle_ms or nil)
expire(l.details, in_details >= 0 and in_details + idle_ms or nil)
end
local function fits(l, claim)
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
keep(l)
elseif l.detailed then
l.over[#l.over + 1] = 'o' .. claim.owner
end
else
local ends = ttl == '0' and FOREVER or now + ttl
l.size = l.size + call('ZADD', l.queue, digits(ends), claim.owner)
call('HSET', l.details, 'o' .. claim.owner, note_of(claim, fence))
if l.shared then l.shared = l.shared + 1 end
keep(l)
end
end
local function tidy(l)
if #l.over > 0 then call('HDEL', l.details, unpack(l.over)) end
if l.size > 0 then return end
if l.holder then
local notes = call('HMGET', l.details, 'o' .. l.holder, 'w' .. l.holder)
if notes[1] or notes[2] then return end
end
call('DEL', l.details)
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
