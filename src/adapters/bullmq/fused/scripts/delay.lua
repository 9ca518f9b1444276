-- moveToDelayed. Where its keys stand that are needed to take up another job differs: `KEYS_OF_ACTIVE`.
between(ARGV[1], ARGV[3], ARGV[4])
local keys = {}
for i, at in ipairs(KEYS_OF_ACTIVE) do
  keys[i] = KEYS[at]
end
return fetched(bull_body(KEYS, ARGV), keys, { ARGV[1], ARGV[2], ARGV[9] })
