-- The two usual steps at a mutex that many wait for: to hand it on to the next claim of this client, and to wait behind who
-- holds it. They come to the same as the long way, without what that has to define and find out. Answers nothing, and has
-- written nothing, for any other step.
local function usual(j, at)
  local lock, queue, details = KEYS[3 * j - 1], KEYS[3 * j], KEYS[3 * j + 1]
  local owner, terms = ARGV[at], ARGV[at + 1]
  local holder = call('GET', lock)
  if terms == '' and holder == owner and not guard_ms then
    -- A ticket is above all ends of shared leases: with one at the head nobody shares.
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

-- How much this call has done, in long steps.
local work = 0
-- Which of the long steps is next. Steps keep their order: behind one that is none of the usual, all go the long way.
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
