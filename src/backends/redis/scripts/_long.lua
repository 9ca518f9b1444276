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

-- The key of the next result, whose step is done or not.
local function result_key()
  next_result = next_result + 1
  return KEYS[next_result - 1]
end

-- The step whose owner is argument `at`.
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
  -- Once one was not done, none behind it is: it may be of the same lock.
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
      -- Nothing was granted: no mark is needed, which would be refused where there is no memory.
      if next_fence then next_fence = math.max(before or 0, marked_up_to) end
      letters[j], extras[j] = 'e', type(letter) == 'table' and letter.err or tostring(letter)
    end
  end
end
return reply()
