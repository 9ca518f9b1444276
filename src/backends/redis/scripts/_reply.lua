-- What becomes of each step: its letter, and what the letter leaves open.
local letters, extras, handed = {}, {}, {}

local function reply()
  mark()
  local all = { digits(first_fence or 0), '' }
  for j = 1, count do
    if extras[j] then all[#all + 1] = extras[j] end
  end
  if #handed > 0 then
    letters[count + 1] = '+'
    all[#all + 1] = handed
  end
  if guard_ms then all[#all + 1] = digits(guard_ms) end
  all[2] = table.concat(letters) .. guard_note
  return all
end
