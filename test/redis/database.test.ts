import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { connect, type Soloist } from 'soloist'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../support/redis-server.js'

// The database of a URL. A client that the server refuses it would be in database 0, with others it was not to meet.

const REFUSED = {
  code: 'BACKEND_UNAVAILABLE',
  cause: expect.objectContaining({ message: 'ERR DB index is out of range' }),
}

/** How many databases the server has, from its next start on. */
const options = { config: 'databases 16' }
let server: RedisServer
let admin: Redis
beforeAll(async () => {
  server = await startRedis(options)
  admin = new Redis(server.url)
})
afterAll(async () => {
  admin.disconnect()
  await server.stop()
})

async function restart(config: string): Promise<void> {
  options.config = config
  await server.restart()
}

const calls: Record<string, (solo: Soloist) => Promise<unknown>> = {
  lock: solo => solo.lock('same'),
  tryLock: solo => solo.tryLock('same'),
  withLock: solo => solo.withLock('same', () => 'alone'),
  semaphore: solo => solo.semaphore('same too', 2).lock(),
  inspect: solo => solo.inspect('same'),
  list: solo => solo.list().next(),
  unlock: solo => solo.unlock('same', { force: true }),
  clear: solo => solo.clear(''),
}

test('that the server does not have: every call is refused, at any time, and says why; nothing is written', async () => {
  await using solo = connect(`${server.url}/16`)
  const all = () => Promise.allSettled(Object.values(calls).map(call => call(solo)))
  const expected = Object.keys(calls).map(() => ({ status: 'rejected', reason: expect.objectContaining(REFUSED) }))
  // Together, before there is a connection; again; and one after the other.
  expect(await all()).toEqual(expected)
  expect(await all()).toEqual(expected)
  for (const call of Object.values(calls)) await expect(call(solo)).rejects.toMatchObject(REFUSED)
  expect(await admin.dbsize()).toBe(0)
})

test('that the server does not have any more after a restart is refused until it has it again', async () => {
  await using solo = connect(`${server.url}/15`)
  solo.on('fault', () => {})
  const held = await solo.lock('held', { ttlMs: 60_000 })
  const waiting = solo.lock('held', { ttlMs: 60_000 })
  await once(solo, 'waiting')

  await restart('databases 15')
  await expect.poll(() => held.renew().catch((error: unknown) => error)).toMatchObject(REFUSED)
  await expect(solo.tryLock('other')).rejects.toMatchObject(REFUSED)
  await expect(held.release()).rejects.toMatchObject(REFUSED)
  expect(await admin.dbsize()).toBe(0)

  await restart('databases 16')
  expect((await waiting).fence).toBeGreaterThan(held.fence)
  expect((await solo.inspect('held'))?.holders.map(({ owner }) => owner)).toEqual([(await waiting).owner])
  expect(await admin.dbsize()).toBe(0)
})

test('that the user may not select is refused', async () => {
  await admin.call('ACL', 'SETUSER', 'confined', 'on', '>pw', '~*', '&*', '+@all', '-select')
  await using solo = connect(`redis://confined:pw@${server.host}:${server.port}/1`)
  await expect(solo.lock('same')).rejects.toMatchObject({
    code: 'BACKEND_UNAVAILABLE',
    cause: { message: expect.stringMatching(/^NOPERM .*select/) },
  })
  expect(await admin.dbsize()).toBe(0)
  // The first one needs no SELECT.
  await using confined = connect(`redis://confined:pw@${server.host}:${server.port}/0`)
  await (await confined.lock('same')).release()
})

test('that the server does not have fails the command', async () => {
  const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
  const ls = spawn(process.execPath, [main, 'ls', '--store', `${server.url}/16`], { stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = once(ls, 'close')
  expect(await Promise.all([text(ls.stdout), text(ls.stderr)])).toEqual([
    '',
    expect.stringContaining('ERR DB index is out of range'),
  ])
  expect(await ended).not.toEqual([0, null])
})
