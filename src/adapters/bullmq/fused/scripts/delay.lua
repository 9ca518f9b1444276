-- moveToDelayed. Where its keys stand that are needed to take up another job differs: `KEYS_OF_ACTIVE`.
between(ARGV[1], ARGV[3], ARGV[4])
local keys = {}
for at in string.gmatch(KEYS_OF_ACTIVE, '%d+') do
  keys[#keys + 1] = KEYS[tonumber(at)]
end
return fetched(bull_body(KEYS, ARGV), keys, { ARGV[1], ARGV[2], ARGV[9] })
