-- moveStalledJobsToWait, and a sweep: what is held for jobs that are gone is given up, and who waits for nothing is woken. It has
-- a guard of its own, since a worker of BullMQ's may pass BullMQ's each time.
local queue = ARGV[2]
local first = call('SET', queue .. 'soloist-swept', 1, 'NX', 'PX', ARGV[4])
local answer = bull_body(KEYS, ARGV)
if first then
  sweep_some(queue, function(terms)
    sweep(queue, terms)
  end)
end
return answer
