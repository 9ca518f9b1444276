-- Fences, and the mark that tells the last of them. The script says before which key the mark is: `mark_key`.

-- The first fence of this call, the next, and up to which the mark tells of them; nil until one is needed.
local first_fence, next_fence, marked_up_to

-- What is no fence, and an error, does not count.
local function read_mark()
  local last = tonumber(try('GET', mark_key))
  first_fence = now_us
  if last and last >= now_us and last < 9e15 then first_fence = math.floor(last) + 1 end
  next_fence, marked_up_to = first_fence, first_fence
end

local function new_fence()
  if not next_fence then read_mark() end
  next_fence = next_fence + 1
  return next_fence - 1
end

-- To be called before anybody can hear of a fence.
local function mark()
  if next_fence == marked_up_to then return end
  local last = next_fence - 1
  call('SET', mark_key, digits(last), 'PXAT', digits(math.floor(last / 1000) + idle_ms))
  marked_up_to = next_fence
end
