-- Runs `one` for each of the lists of arguments. Where it fails for some of them, the error is the answer of these. Where it fails
-- for all, the whole call fails: so the client hears that Redis takes nothing now, as with READONLY.
if #lists == 2 then return one() end
local answers, failed = {}, 0
for i = 2, #lists do
  ARGV = lists[i]
  local went, answer = pcall(one)
  if not went then
    failed = failed + 1
    if type(answer) ~= 'table' then answer = { err = tostring(answer) } end
  end
  answers[i - 1] = answer or false
end
if failed == #answers then return answers[1] end
return answers
