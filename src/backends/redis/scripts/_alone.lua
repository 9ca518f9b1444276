-- A single step of a lock without details: nobody waits, shares or watches, and nothing is noted. Most steps are such, and
-- it is for them that the details exist only where they must.
if #KEYS == 4 and call('EXISTS', KEYS[4]) == 0 then
  local lock, owner, terms = KEYS[2], ARGV[5], ARGV[6]
  if terms == '' then
    if try('GET', lock) == owner then
      call('DEL', lock)
      return '1'
    end
  else
    local ttl = string.byte(terms) == 116 and string.sub(terms, 2) or terms
    if tonumber(ttl) and ttl ~= '0' and call('SET', lock, owner, 'PX', ttl, 'NX') then
      local time = call('TIME')
      local fence = string.format('%d%06d', time[1], time[2])
      local last = try('SET', KEYS[1], fence, 'PX', ARGV[3], 'GET')
      if not last or type(last) == 'string' and #last == #fence and last < fence then return fence end
      -- The mark is ahead of the clock, or is no fence. What follows deals with it, and finds the owner a holder.
      if type(last) == 'string' then call('SET', KEYS[1], last) end
    end
  end
end
