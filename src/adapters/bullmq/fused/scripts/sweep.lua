-- Sets locks right.
--
-- KEYS  1 any key of the queue
-- ARGV  1 the queue, ending with a colon  2 how long the prefix of the locks is  3 1 when the queue was removed as a whole; then
--       the locks
-- reply how many were held before and are not held by the same any more

-- Whether nobody but jobs of this queue has the lock or waits for it.
local function is_of(queue, terms, holder)
  local start = 'bullmq:' .. queue
  if holder and string.sub(holder, 1, #start) ~= start then return false end
  for _, owner in ipairs(call('ZRANGE', terms.queue, 0, -1)) do
    if string.sub(owner, 1, #start) ~= start then return false end
  end
  return true
end

local freed = 0
for i = 4, #ARGV do
  local terms = terms_of('!ej,0,0,0,' .. ARGV[2] .. ' ' .. ARGV[i])
  local before = call('GET', terms.key)
  if ARGV[3] == '1' and is_of(ARGV[1], terms, before) then
    call('DEL', terms.key, terms.queue, terms.details)
  else
    sweep(ARGV[1], terms)
  end
  if before and call('GET', terms.key) ~= before then freed = freed + 1 end
end
return freed
