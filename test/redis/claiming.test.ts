import { Redis } from 'ioredis'
import { connect } from 'soloist'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Claiming, heldBy } from '../../dist/backends/redis/claiming.js'
import { type RedisServer, startRedis } from '../support/redis-server.js'

// Somebody else's script that claims a lock in the same step: both have happened, or neither.

const MAKES = `redis.call('SET', KEYS[1], ARGV[1]) return ARGV[1]`

let server: RedisServer
let redis: Redis
const claiming = new Claiming({ prefix: 'p:' })
beforeAll(async () => {
  server = await startRedis()
  redis = new Redis(server.url)
})
afterAll(async () => {
  redis.disconnect()
  await server.stop()
})

let names = 0
const fresh = () => {
  names += 1
  return { lock: `{lock ${names}}:q`, made: `made ${names}` }
}

/** Calls a script of one key and one argument with the lock it is to claim. */
async function call(script: string, { lock, made }: ReturnType<typeof fresh>, id: string, owner = `jobs:${id}`) {
  const lua = String(claiming.around(script))
  return await redis.eval(lua, 2, made, claiming.keyOf(lock), id, owner)
}

const ownerOf = (lock: string) => redis.get(claiming.keyOf(lock))

test('a free lock is claimed, and what was to be made is there', async () => {
  const of = fresh()
  expect(await call(MAKES, of, '7')).toBe('7')
  expect([await redis.get(of.made), await ownerOf(of.lock)]).toEqual(['7', 'jobs:7'])
  await using solo = connect(server.url, { prefix: 'p:' })
  expect(await solo.tryLock(of.lock)).toBeNull()
  expect((await solo.inspect(of.lock))?.holders).toMatchObject([{ owner: 'jobs:7', fence: 0, expiresAtMs: null }])
  await solo.unlock(of.lock, { owner: 'jobs:7' })
  await using lease = await solo.tryLock(of.lock)
  expect(lease?.fence).toBeGreaterThan(0)
})

test('what is held is answered with its holder, and nothing is made', async () => {
  const of = fresh()
  await call(MAKES, of, '7')
  await redis.del(of.made)
  const answer = await call(MAKES, of, '8')
  expect([heldBy(answer), heldBy('8')]).toEqual(['jobs:7', null])
  expect([await redis.get(of.made), await ownerOf(of.lock)]).toEqual([null, 'jobs:7'])
})

test('who holds it and asks again is not held up', async () => {
  const of = fresh()
  await call(MAKES, of, '7')
  expect(await call(MAKES, of, '7')).toBe('7')
  expect(await ownerOf(of.lock)).toBe('jobs:7')
})

describe('the lock is not claimed', () => {
  test.each([
    ['a number, by which scripts tell of what they refuse', `return -5`, -5],
    ['the id of something else', `return '17'`, '17'],
    ['an id that is the end of the one', `return '7'`, '7'],
    ['nothing', `return nil`, null],
  ])('when the answer is %s', async (_, script, answer) => {
    const of = fresh()
    expect(await call(script, of, '77')).toBe(answer)
    expect(await ownerOf(of.lock)).toBeNull()
  })

  test('when the script fails, and its error is passed on', async () => {
    const of = fresh()
    await expect(call(`return redis.call('INCR', KEYS[2], 1)`, of, '7')).rejects.toThrow('Wrong number of args')
    await expect(call(`return redis.error_reply('MINE it is')`, of, '7')).rejects.toThrow('MINE it is')
    expect(await ownerOf(of.lock)).toBeNull()
  })

  test('when there is no memory left', async () => {
    const of = fresh()
    await redis.config('SET', 'maxmemory', '1')
    await expect(call(MAKES, of, '7')).rejects.toThrow('OOM')
    await redis.config('SET', 'maxmemory', '0')
    expect([await redis.get(of.made), await ownerOf(of.lock)]).toEqual([null, null])
  })
})

test('the script sees its own keys and arguments at their places, and declares what it likes', async () => {
  const of = fresh()
  const many = Array.from({ length: 150 }, (_, i) => `local a${i} = ${i}`).join('\n')
  const script = `${many}\nlocal lock, owner = KEYS[1], ARGV[1]\nif owner == 'x' then return end\nreturn owner .. ''`
  expect(await call(script, of, '9')).toBe('9')
  expect(await ownerOf(of.lock)).toBe('jobs:9')
})

test.each([`return #KEYS`, `return # ARGV`, `return unpack(KEYS)`, `local args = ARGV\nreturn args[1]`])(
  'a script that would take the lock for a key of its own, or the owner for an argument, is refused: %s',
  script => {
    expect(claiming.around(script)).toBeNull()
  },
)
