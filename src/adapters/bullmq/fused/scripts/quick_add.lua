-- The usual case of `add.lua`, without what that has to define: a free lock is taken as by SET, and nothing else is asked.
if string.byte(ARGV[5]) == 115 and ARGV[6] == '' then
  local ttl, key = string.match(ARGV[4], '^!%l%l%l*,0,(%d+),%d+,%d+ (.*)$')
  if redis.call('EXISTS', key, '{' .. key .. '}:q2', '{' .. key .. '}:d2') == 0 then
    local answer, owner = bull_add(KEYS, ARGV), ARGV[7]
    if type(answer) ~= 'string' then return answer end
    if string.find(owner, ':' .. answer, -#answer - 5, true) then
      if ttl == '0' then
        redis.call('SET', key, owner)
      else
        redis.call('SET', key, owner, 'PX', ttl)
      end
      return answer
    end
    return { '~', '', 'turned', answer, '', '', '', '', '', '', '', '', '', '', '', '', '' }
  end
end
