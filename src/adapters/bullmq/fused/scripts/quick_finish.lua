-- The usual case of `finish.lua`, without what that has to define: nobody waits for the lock, and nothing is noted of it.
local finished
local known = redis.call('HGET', ARGV[7] .. ARGV[1], 'opts')
local text = known and string.match(known, '"singleton":"(![^"]*)"')
local key = text and string.match(text, '^![eqwb]%l%l*,0,%d+,%d+,%d+ (.*)$')
local plain = not text or string.find(text, '^!%l%l%l*u') ~= nil
if key and not string.find(key, '\\', 1, true) and not string.find(ARGV[1], '[%%:#]') and not plain then
  local owner = 'bullmq:' .. ARGV[7] .. ARGV[1]
  if redis.call('EXISTS', '{' .. key .. '}:q2', '{' .. key .. '}:d2') == 0 and redis.call('GET', key) == owner then
    finished = bull_finish(KEYS, ARGV)
    if type(finished) == 'table' or finished >= 0 then redis.call('DEL', key) end
  end
elseif plain then
  finished = bull_finish(KEYS, ARGV)
end
if finished and started_quickly(finished, ARGV[7], ARGV[8]) then return finished end
