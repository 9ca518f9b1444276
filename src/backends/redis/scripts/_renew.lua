-- What a noted fence makes the answer to a renewal that brought one.
local function held(noted, brought)
  if not noted then return 'h' end
  local fence = string.match(noted, ' (%d*)')
  if fence == brought then return 'k' end
  if fence == '' then return 'h' end
  return 'F', fence
end

-- Starts the lease of an exclusive holder again, which the caller has seen to be the owner. The first time the fence it
-- was told is noted, for who looks at the lock.
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
