local function renew(l, owner, terms)
  if l.holder == owner then return extend(l.lock, l.details, l.detailed, owner, terms) end
  local score = l.size > 0 and tonumber(call('ZSCORE', l.queue, owner) or nil)
  if not score or score <= now or score >= FIRST_TICKET then return 'l' end
  local ttl, brought = string.match(terms, '(%d+),(%d*)')
  -- After this, nothing is refused for want of memory.
  call('PERSIST', l.queue)
  call('ZADD', l.queue, digits(ttl == '0' and FOREVER or now + ttl), owner)
  local noted = call('HGET', l.details, 'o' .. owner)
  if not noted and brought ~= '' then
    call('HSET', l.details, 'o' .. owner, 's,' .. ttl .. ',' .. client .. ' ' .. brought)
  end
  keep(l)
  return held(noted, brought)
end

-- The step whose owner is argument `at`; `result`: the key of the result it is to keep.
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
  -- Once one was not done, none behind it is: it may be of the same lock.
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
      -- Nothing was granted: no mark is needed, which would be refused where there is no memory.
      if next_fence then next_fence = math.max(before or 0, marked_up_to) end
      letters[j], extras[j] = 'e', type(letter) == 'table' and letter.err or tostring(letter)
    end
  end
end
return reply()
