-- The ttl in the terms of an exclusive claim that has nothing else to say; nil for all other terms.
local function plain_ttl(terms)
  if tonumber(terms) then return terms end
  if string.byte(terms) == 116 then return string.sub(terms, 2) end
end

-- Gives the lock to the owner if the key is free. Answers false when it is not; an error is a table with `err`.
local function take(lock, owner, ttl)
  if ttl == '0' then return try('SET', lock, owner, 'NX') end
  return try('SET', lock, owner, 'PX', ttl, 'NX')
end
