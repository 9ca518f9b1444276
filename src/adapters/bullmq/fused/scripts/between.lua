-- A run has ended, and its job has not: it is tried again later, waits for children, or was put back by its processor. It keeps
-- its lock or gives it up, as its mode says, see `docs/adapters/bullmq.md`. What was left with it goes with the lock, so it keeps that
-- until its data holds that.
local function between(queue, id, token)
  local terms = terms_in(call('HGET', queue .. id, 'opts'))
  if not terms or terms.mode ~= 'w' and terms.mode ~= 'b' then return end
  if call('GET', queue .. id .. ':lock') ~= token then return end
  local owner = owner_of(queue, id, terms)
  if call('HEXISTS', queue .. id, 'slm') == 0 and begin(terms, owner) then return end
  release(terms, owner)
end
