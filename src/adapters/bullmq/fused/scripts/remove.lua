-- removeJob: the job's lock is free with it.
local queue, id = ARGV[3], ARGV[1]
local fields = call('HMGET', queue .. id, 'opts', 'slw')
local terms = terms_in(fields[1])
local answer = bull_body(KEYS, ARGV)
if answer == 1 and terms and (terms.mode ~= 'x' or fields[2]) then release(terms, owner_of(queue, id, terms)) end
return answer
