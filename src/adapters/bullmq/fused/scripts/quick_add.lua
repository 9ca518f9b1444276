-- The usual cases of `add.lua`, without what that has to define: a free lock is taken as by SET ('s'), or its holder is noted as
-- the pending run as well ('b'), or nothing is taken yet ('w').
local kind = string.byte(ARGV[5])
-- One of several that are added together has a tag, and nothing else that is rarely needed.
local tag = not ARGV[6] and '' or string.match(ARGV[6], '^{"tag":"(%d+)"}$')
if tag and ARGV[4] == '' then return bull_add(KEYS, ARGV) end
if tag and kind ~= 109 then
  local ttl, key = string.match(ARGV[4], '^!%l%l%l*,0,(%d+),%d+,%d+ (.*)$')
  local details, owner = '{' .. key .. '}:d2', string.sub(ARGV[5], 8)
  -- The job, as its owner tells: it is there when this call is sent again. By now it may have ended, and must not have the lock.
  local job = string.sub(owner, 8, string.sub(owner, -4) == '#set' and -5 or -1)
  if redis.call('EXISTS', key, '{' .. key .. '}:q2', details, job) == 0 then
    local answer = bull_add(KEYS, ARGV)
    if type(answer) ~= 'string' then return answer end
    if not string.find(owner, ':' .. answer, -#answer - 5, true) then
      return { '~', tag, 'turned', answer, '', '', '', '', '', '', '', '', '', '', '', '', '' }
    end
    if kind == 119 then return answer end
    if ttl == '0' then
      redis.call('SET', key, owner)
    else
      redis.call('SET', key, owner, 'PX', ttl)
    end
    if kind == 98 then redis.call('HSET', details, 'p', 'p0,0,0,,' .. #owner .. ':' .. owner) end
    return answer
  end
end
