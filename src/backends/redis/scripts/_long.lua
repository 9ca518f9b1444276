local function renew(l, owner, terms)
  if l.holder == owner then return extend(l.lock, l.details, detailed(l), owner, terms) end
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

-- A claim and what a trigger does with it, by its terms; the texts follow argument `at`.
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

-- The step whose owner is argument `at`; `left`: the key of what the owner leaves or left.
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
  -- Once one was not done, none behind it is: it may be of the same lock.
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
      -- Nothing was granted: no mark is needed, which would be refused where there is no memory.
      if next_fence then next_fence = math.max(before or 0, marked_up_to) end
      letters[j], extras[j] = 'e', type(letter) == 'table' and letter.err or tostring(letter)
    end
  end
end
return reply()
