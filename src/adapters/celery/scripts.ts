// The steps on a lock, each atomic. A lock is a string that holds the bare id of a task, as celery-singleton writes it
// with SET NX [EX]. Only old commands are used, for celery's own users are not all on a new Redis.

/**
 * Takes the lock if it is free, or if `replaces` holds it. Whoever holds it already keeps it, for the longer of both times.
 *
 * KEYS: the lock. ARGV: task id, ttl in ms or '' for none, the id it may be taken from or ''.
 * Reply: { 'taken' | 'own' | 'replaced' | 'busy', the id that holds it now }
 */
export const TAKE = `
local holder = redis.call('get', KEYS[1])
local id, ttl, replaces = ARGV[1], ARGV[2], ARGV[3]
if holder == id then
  local left = redis.call('pttl', KEYS[1])
  if ttl == '' then
    redis.call('persist', KEYS[1])
  elseif left >= 0 and left < tonumber(ttl) then
    redis.call('pexpire', KEYS[1], ttl)
  end
  return { 'own', id }
end
if holder and (replaces == '' or holder ~= replaces) then return { 'busy', holder } end
if ttl == '' then
  redis.call('set', KEYS[1], id)
else
  redis.call('set', KEYS[1], id, 'px', ttl)
end
return { holder and 'replaced' or 'taken', id }
`

/**
 * Sets when the lock runs out, if this task holds it.
 *
 * KEYS: the lock. ARGV: task id, ttl in ms or '' for none. Reply: 1, or 0 when it does not hold it.
 */
export const RENEW = `
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then
  redis.call('persist', KEYS[1])
else
  redis.call('pexpire', KEYS[1], ARGV[2])
end
return 1
`

/** Deletes the lock if this task holds it. KEYS: the lock. ARGV: task id. Reply: 1, or 0 when it does not hold it. */
export const UNLOCK = `
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('del', KEYS[1])
`
