-- moveToWaitingChildren. Where nothing is pending the run goes on.
local answer = bull_body(KEYS, ARGV)
if answer == 0 then
  local queue, id = ARGV[5], ARGV[4]
  local terms = terms_in(call('HGET', queue .. id, 'opts'))
  if terms and (terms.mode == 'w' or terms.mode == 'b') then release(terms, owner_of(queue, id, terms)) end
end
return answer
