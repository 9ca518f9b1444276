-- moveStalledJobsToWait, and a sweep: what is held for jobs that are gone is given up, and who waits for nothing is woken. It has
-- a guard of its own, since a worker of BullMQ's may pass BullMQ's each time.
local queue = ARGV[2]
local first = call('SET', queue .. 'soloist-swept', 1, 'NX', 'PX', ARGV[4])
local answer = bull_body(KEYS, ARGV)
if first then
  local some = call('ZRANDMEMBER', queue .. 'soloist', 500, 'WITHSCORES')
  for i = 1, #some, 2 do
    sweep(queue, terms_of('!ej,0,0,0,' .. some[i + 1] .. ' ' .. some[i]))
  end
end
return answer
