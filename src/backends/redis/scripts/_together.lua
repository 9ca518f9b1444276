-- The steps of locks with nothing in the way, set-wise, and renewals of exclusive holders. Of a lock with two steps in the
-- list, neither is done here: they are done one after the other, among the long ones.
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

  -- A key of another type looks free here; what is done next tells it from one that is.
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
      -- Nothing is noted but this owner's claim.
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
