-- A worker has made one of a job's data and the notes that were left with it.
--
-- KEYS  1 the job
-- ARGV  1 the queue, ending with a colon  2 the id  3 the token  4 the data  5 how many notes
-- reply 1, or 0 when the job is not in hand with this token any more
local queue, id = ARGV[1], ARGV[2]
if call('GET', queue .. id .. ':lock') ~= ARGV[3] then return 0 end
call('HSET', queue .. id, 'data', ARGV[4], 'slm', ARGV[5])
local terms = terms_in(call('HGET', queue .. id, 'opts'))
if terms and terms.mode == 'q' then
  call('HSET', queue .. id, 'slb', 1)
  release(terms, owner_of(queue, id, terms))
end
return 1
