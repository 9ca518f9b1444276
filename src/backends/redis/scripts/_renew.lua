-- How long the details are kept behind a lease of this ttl; nil: for ever.
local function kept_ms(ttl)
  return ttl > 0 and ttl + idle_ms or nil
end

-- What a noted fence makes the answer to a renewal that brought one.
local function held(noted, brought)
  local fence = noted and string.match(noted, '^[^ ]* (%d+)')
  if not fence then return 'h' end
  if fence == brought then return 'k' end
  return 'F', fence
end

-- Starts the lease of an exclusive holder again, which the caller has seen to be the owner. The first time the fence it
-- was told is noted, for who looks at the lock.
local function extend(lock, details, has_details, owner, terms)
  local ttl, brought = string.match(terms, '^=(%d+),(%d*)$')
  ttl = tonumber(ttl)
  local noted = has_details and try('HGET', details, 'o' .. owner)
  if noted and noted.err then return 'e', noted.err end
  expire(lock, ttl > 0 and ttl or nil)
  local notes = not noted and brought ~= ''
  if notes then call('HSET', details, 'o' .. owner, 'x,' .. digits(ttl) .. ',' .. client .. ' ' .. brought) end
  if noted or notes then expire(details, kept_ms(ttl)) end
  return held(noted, brought)
end
