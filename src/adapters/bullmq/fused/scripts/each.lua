-- Runs `one` for each of the lists of arguments. What it fails with is the answer of that one, but where it fails for all: then
-- Redis has a reason, and the client has to hear of it.
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
