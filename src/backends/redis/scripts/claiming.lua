-- Claims a lock exclusively, for as long as nobody gives it up, in the same step as a script of somebody else's, whose
-- text stands in place of the line `-- @body`. That script answers the id of what it made; the lock is claimed if its
-- owner's name ends with a colon and this id. It is claimed as by a plain SET NX, without a fence and whoever waits or
-- reads: who needs more than to be found here takes the lock over.
--
-- KEYS  those of the other script, then the lock
-- ARGV  those of the other script, then the owner
-- reply what the other script answers | {'held', holder} when the lock is not free: then that script was not run
local lock, owner = KEYS[#KEYS], ARGV[#ARGV]
local holder = redis.call('GET', lock)
-- An owner asks again when the reply was lost.
if holder and holder ~= owner then return { 'held', holder } end

local function body()
-- @body
end

local answer = body()
if type(answer) == 'string' and string.sub(owner, -#answer - 1) == ':' .. answer then
  redis.call('SET', lock, owner)
end
return answer
