-- The steps of locks with nothing in the way, set-wise, and renewals of exclusive holders. Of a lock with two steps in the
-- list, neither is done here: they are done one after the other, among the long ones.
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

  -- A key of another type looks free here; what is done next tells it from one that is.
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
        -- Nothing is noted but this owner's claim.
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
