-- A single step of a lock without details: nobody waits, shares or watches, and nothing is noted. Most steps are such, and
-- it is for them that the details exist only where they must. Also a release of which nothing is noted but the claim.
if guard_note == '' and (#KEYS == 4 or #KEYS == 5) then
  local lock, details, owner, terms = KEYS[2], KEYS[4], ARGV[2], ARGV[3]
  local kind = string.byte(terms)
  local notes = try('HLEN', details)
  if not kind or kind == 33 then -- '!'
    if (notes == 0 or notes == 1) and try('GET', lock) == owner then
      if notes == 0 then
        call('DEL', lock)
      elseif call('HEXISTS', details, 'o' .. owner) == 1 then
        call('DEL', lock, details)
      else
        notes = nil
      end
      if notes then
        if kind then call('SET', KEYS[5], ARGV[4], 'PX', string.sub(terms, 2)) end
        return '1'
      end
    end
  elseif notes == 0 then
    local ttl, noted, durable, meta = nil, '', '', ''
    if kind == 116 then -- 't'
      ttl = string.sub(terms, 2)
    elseif kind == 62 then -- '>'
      ttl, noted, durable, meta = string.match(terms, '^>x,(%d+),(n?)(d?),%a%a,%d+,,,(m?)t?$')
      local left = ttl and try('GET', KEYS[5])
      if left and (type(left) ~= 'string' or string.byte(left) >= 254) then ttl = nil end
    elseif kind >= 48 and kind <= 57 then -- a digit
      ttl = terms
    end
    local taken
    if ttl == '0' then
      taken = call('SET', lock, owner, 'NX')
    elseif ttl then
      taken = call('SET', lock, owner, 'PX', ttl, 'NX')
    end
    if taken then
      local time = call('TIME')
      -- Put together as text: numbers would be read and written for it, which takes as long as a command.
      local us = time[2]
      if #us < 6 then us = string.rep('0', 6 - #us) .. us end
      local fence = time[1] .. us
      local last = try('SET', KEYS[1], fence, 'PX', IDLE_MS, 'GET')
      if not last or type(last) == 'string' and #last == #fence and last < fence then
        if noted .. meta ~= '' then
          local client = string.match(ARGV[1], '^%S+ %d %d %d+ (%S*)')
          local note = 'x' .. noted .. durable .. ',' .. ttl .. ',' .. client .. ' ' .. fence
          if meta ~= '' then note = note .. ',' .. ARGV[4] end
          call('HSET', details, 'o' .. owner, note)
          if ttl ~= '0' then call('PEXPIRE', details, ttl + IDLE_MS) end
        end
        return fence
      end
      -- The mark is ahead of the clock, or is no fence. What follows deals with it, and finds the owner a holder.
      if type(last) == 'string' then call('SET', KEYS[1], last) end
    end
  end
end
