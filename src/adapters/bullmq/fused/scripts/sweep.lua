-- Sets locks right.
--
-- KEYS  1 any key of the queue
-- ARGV  1 the queue, ending with a colon  2 how long the prefix of the locks is; then the locks
-- reply how many were held before and are not held by the same any more
local freed = 0
for i = 3, #ARGV do
  local terms = terms_of('!ej,0,0,0,' .. ARGV[2] .. ' ' .. ARGV[i])
  local before = call('GET', terms.key)
  sweep(ARGV[1], terms)
  if before and call('GET', terms.key) ~= before then freed = freed + 1 end
end
return freed
