-- Gives up what is held for jobs that somebody ended who knows nothing of locks, and wakes who waits for it.
--
-- KEYS  1 the locks that jobs of the queue wait for, or that such a worker was seen to have  2 how far the look at all locks has
--       come, and when it is to go on
-- ARGV  1 the queue, ending with a colon  2 what the keys of jobs' locks start with: their prefix and 'job:'  3 how long that
--       prefix is  4 '' for those in KEYS[1] only; else after how many ms the next is to look at some of all locks
-- reply how many are left in KEYS[1]; then, of each lock that was held for a job that is over, its key and the job's id
local SEEN_AT_ONCE = 500
local ENDS_MS = 3600000
local COMES_WITHIN_MS = 60000
local queue = ARGV[1]
local given_up = {}

local function tidy(terms)
  local before = call('GET', terms.key)
  sweep(queue, terms)
  if before and call('GET', terms.key) ~= before then
    local job = job_of(before)
    given_up[#given_up + 1] = terms.key
    given_up[#given_up + 1] = job and job.id or before
  end
end

-- Where somebody takes lock and job in two steps, the job may still come: by when its id was made, see `../../lock/ids.ts`.
local function may_come(job)
  local start, later = string.match(job.id, '^' .. string.rep('[%w_-]', 8) .. '(' .. string.rep('%w', 8) .. ')%-(%w+)$')
  if job.timestamp or not start then return false end
  return now_ms() - tonumber(start, 36) - tonumber(later, 36) / 32 < COMES_WITHIN_MS
end

local function terms_at(key, length)
  return terms_of('!ej,0,0,0,' .. length .. ' ' .. key)
end

sweep_some(queue, tidy)

local cursor, next_ms = string.match(ARGV[4] ~= '' and call('GET', KEYS[2]) or '0,0', '^(%d+),(%d+)$')
if ARGV[4] ~= '' and tonumber(next_ms) <= now_ms() then
  -- Some of all keys there are. A server that does not allow that in a script leaves it to `queue.sweep()`.
  local found = redis.pcall('SCAN', cursor, 'COUNT', SEEN_AT_ONCE)
  if not found.err then
    local owners = 'bullmq:' .. queue
    for _, key in ipairs(found[2]) do
      -- Where several may share a lock they are in its queue.
      local lock = string.match(key, '^{(.*)}:q2$')
      local owner
      if string.sub(key, 1, #ARGV[2]) == ARGV[2] then
        -- A key of another kind is none of ours.
        owner = redis.pcall('GET', key)
      elseif lock and string.sub(lock, 1, #ARGV[2]) == ARGV[2] and call('EXISTS', lock) == 0 then
        owner = call('ZRANGE', key, 0, 0)[1]
      end
      if type(owner) == 'string' and string.sub(owner, 1, #owners) == owners then
        local terms = terms_at(lock or key, ARGV[3])
        local job = look_at(owner, terms.key)
        if job and job.over and not may_come(job) then tidy(terms) end
      end
    end
    call('SET', KEYS[2], found[1] .. ',' .. digits(now_ms() + ARGV[4]), 'PX', ENDS_MS)
  end
end

table.insert(given_up, 1, call('ZCARD', KEYS[1]))
return given_up
