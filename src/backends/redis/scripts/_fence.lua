local function digits(number)
  return string.format('%.0f', number)
end

-- The fence after `last`, which is what the mark holds: a text, an error, or nothing. What is no fence does not count.
local function fence_after(last, now_us)
  last = tonumber(last)
  if last and last >= now_us and last < 9e15 then return math.floor(last) + 1 end
  return now_us
end

local function set_mark(fence, idle_ms)
  call('SET', KEYS[1], digits(fence), 'PXAT', digits(math.floor(fence / 1000) + idle_ms))
end
