-- '<1 when the client hears pushes just now> <1 on a cluster> <ms a pushed grant stands unconfirmed> <ms a client counts
-- as alive after it was heard of> <how many long steps a call may do> <how many results there are to keep>'
local client, idle_ms = ARGV[2], tonumber(ARGV[3])
local hears, on_cluster, grant_ms, alive_ms, long_at_most, results =
  string.match(ARGV[4], '^(%d) (%d) (%d+) (%d+) (%d+) (%d+)$')
grant_ms, alive_ms, long_at_most = tonumber(grant_ms), tonumber(alive_ms), tonumber(long_at_most)
local count = (#KEYS - 1 - results) / 3

-- The first fence of this call, the next, and up to which the mark tells of them; nil until one is needed.
local first_fence, next_fence, marked_up_to

-- What is no fence, and an error, does not count.
local function read_mark()
  local last = tonumber(try('GET', KEYS[1]))
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
  call('SET', KEYS[1], digits(last), 'PXAT', digits(math.floor(last / 1000) + idle_ms))
  marked_up_to = next_fence
end

-- What becomes of each step: its letter, and what the letter leaves open.
local letters, extras, handed = {}, {}, {}

local function reply()
  mark()
  local all = { digits(first_fence or 0), '' }
  for j = 1, count do
    if extras[j] then all[#all + 1] = extras[j] end
  end
  if #handed > 0 then
    letters[count + 1] = '+'
    all[#all + 1] = handed
  end
  all[2] = table.concat(letters)
  return all
end
