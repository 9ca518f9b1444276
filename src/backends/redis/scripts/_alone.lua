-- A single step of a lock without details: nobody waits, shares or watches, and nothing is noted. Most steps are such, and
-- it is for them that the details exist only where they must.
if #KEYS == 4 and call('EXISTS', KEYS[4]) == 0 then
  local lock, owner, terms = KEYS[2], ARGV[5], ARGV[6]
  local ttl = plain_ttl(terms)
  if terms == '' then
    if try('GET', lock) == owner then
      call('DEL', lock)
      return '1'
    end
  elseif ttl then
    local taken = take(lock, owner, ttl)
    if taken and not taken.err then
      local time = call('TIME')
      local fence = string.format('%d%06d', time[1], time[2])
      local last = try('SET', KEYS[1], fence, 'PX', ARGV[3], 'GET')
      if last and not (type(last) == 'string' and #last == #fence and last < fence) then
        fence = fence_after(last, tonumber(fence))
        set_mark(fence, ARGV[3])
        fence = digits(fence)
      end
      return fence
    end
  end
end
