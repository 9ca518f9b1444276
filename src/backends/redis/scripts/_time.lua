local time = call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)

local function digits(number)
  return string.format('%.0f', number)
end

-- Lets the key live for `ms` more; nil: for ever.
local function expire(key, ms)
  if ms then
    call('PEXPIRE', key, digits(ms))
  else
    call('PERSIST', key)
  end
end
