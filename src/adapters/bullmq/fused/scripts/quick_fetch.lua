-- The usual case of `fetch.lua`, without what that has to define: the job has its lock, or takes a free one, and nothing was left
-- with it. Answers whether that was so, or whether there is no job that has a lock.
local function started_quickly(answer, queue, packed)
  if type(answer) ~= 'table' or type(answer[1]) ~= 'table' then return true end
  local fields, id = answer[1], answer[2]
  local opts
  for i = 1, #fields, 2 do
    local name = fields[i]
    if name == 'opts' then
      opts = fields[i + 1]
    elseif name == 'slw' or name == 'sls' or name == 'slb' or name == 'defa' then
      return false
    end
  end
  local text = opts and string.match(opts, '"singleton":"(![^"]*)"')
  if not text then return true end
  local start, key = string.match(text, '^![ewb]%l[of]*,0,0,%d+,(%d+) (.*)$')
  if not key or string.find(key, '\\', 1, true) or string.find(id, '[%%:#]') then return false end
  local owner, details = 'bullmq:' .. queue .. id, '{' .. key .. '}:d2'
  local holder = redis.call('GET', key)
  if holder then
    if holder ~= owner then return false end
    local noted = redis.call('HGETALL', details)
    if #noted > 0 then
      -- Nothing but that it is the pending run.
      local pending = #noted == 2 and noted[1] == 'p' and string.match(noted[2], '^p%d+,0,%d*,,%d+:(.*)$')
      if pending ~= owner then return false end
      redis.call('DEL', details)
    end
  elseif redis.call('EXISTS', '{' .. key .. '}:q2', details) > 0 then
    return false
  else
    redis.call('SET', key, owner)
  end
  -- The tokens of our workers tell that they are.
  if not string.find(packed, 'soloist-', 1, true) then
    redis.call('HSET', queue .. id, 'slt', cmsgpack.unpack(packed).token)
  end
  local fence = redis.call('INCR', '{' .. string.sub(key, 1, start) .. '}:f2')
  -- The mark may have expired. Since then the clock has passed it.
  if fence < 1000000000000000 then
    local time = redis.call('TIME')
    fence = time[1] * 1000000 + time[2]
    redis.call('SET', '{' .. string.sub(key, 1, start) .. '}:f2', string.format('%.0f', fence), 'PX', IDLE_MS)
  end
  fields[#fields + 1] = 'slfence'
  fields[#fields + 1] = string.format('%.0f', fence)
  return true
end
