-- Which of these jobs are to stop.
--
-- KEYS  1 any key of the queue
-- ARGV  the keys of the jobs
-- reply of each the owner that wants it to stop, or ''
local owners = {}
for i, key in ipairs(ARGV) do
  owners[i] = call('HGET', key, 'sls') or ''
end
return owners
