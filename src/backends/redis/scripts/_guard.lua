-- For how many ms more nothing is granted, since the server may have forgotten who holds what: nil: it has not. A server that
-- writes no log has forgotten all locks if it was started, and who was granted one before may count on it for `bound` ms more.
-- The note says it to the client: '!' nothing is granted, '?' this user may not ask.
local guard_ms, guard_note = nil, ''
if string.byte(ARGV[1]) == 103 then -- 'g'
  local bound = tonumber(string.match(ARGV[1], '^g(%d+)'))
  local info = try('INFO', 'server')
  local up = type(info) == 'string' and tonumber(string.match(info, 'uptime_in_seconds:(%d+)'))
  if up then
    -- It is the difference of two times in whole seconds.
    local left = bound - (up - 1) * 1000
    if left > 0 and not string.find(call('INFO', 'persistence'), 'aof_enabled:1', 1, true) then
      guard_ms, guard_note = left, '!'
    end
  else
    guard_note = '?'
  end
end
