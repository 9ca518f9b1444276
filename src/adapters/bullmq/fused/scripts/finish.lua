-- moveToFinished: the job gives up its lock, the next is granted it and woken, and the worker takes up another job.
local queue, id = ARGV[7], ARGV[1]
local known = call('HMGET', queue .. id, 'opts', 'processedOn', 'slb')
local terms = terms_in(known[1])

-- A run that does not hold its lock any more.
local function lapsed()
  if known[2] and not known[3] then news[#news + 1] = { 'ended', id, terms.key } end
end

local function give_up()
  local owner = owner_of(queue, id, terms)
  if terms.mode ~= 'x' or has(terms, 'f') and ARGV[5] == 'failed' or call('HEXISTS', queue .. id, 'slw') == 1 then
    if not release(terms, owner) and terms.mode ~= 'x' then lapsed() end
  end
end

local answer = finished
if answer then
  -- It was one of the usual, and what was taken up next is not.
elseif not terms then
  answer = bull_finish(KEYS, ARGV)
else
  -- Whoever is next has to be in the queue before BullMQ finds it empty. What cannot finish keeps its lock.
  local token = cmsgpack.unpack(ARGV[8]).token
  local can = call('GET', queue .. id .. ':lock') == token and call('EXISTS', queue .. id .. ':dependencies') == 0
  if can then give_up() end
  answer = bull_finish(KEYS, ARGV)
  local done = type(answer) == 'table' or answer >= 0
  if done and not can then release(terms, owner_of(queue, id, terms)) end
end
local K = KEYS
local keys = { K[1], K[2], K[3], K[4], K[5], K[6], K[7], K[8], K[9], K[10], K[14] }
return fetched(answer, keys, { queue, ARGV[2], ARGV[8] })
