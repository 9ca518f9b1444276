// Guards invariants S2, L1 and H2 of docs/guarantees.md.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type Soloist } from 'soloist'
import { redisBackend } from 'soloist/redis'
import { sqliteBackend } from 'soloist/sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { operations, TTL_MS } from './children/operations.js'
import { assertAllExpires, Doomed, killAtEach } from './support.js'

/** How many processes at once. */
const AT_ONCE = 2
/** How long an operation may take: all of them run at one time, each in dozens of processes. */
const timeout = 240_000
/** A dead holder's ttl and a dead waiter's grant, and what a busy machine takes. */
const FREE_MS = 2 * TTL_MS + 10_000

const stores = [
  { store: 'redis', open: (where: string, prefix: string) => redisBackend(where, { prefix }) },
  { store: 'sqlite', open: (where: string, prefix: string) => sqliteBackend(where, { prefix }) },
] as const

describe.each(stores)('on $store, a process that is killed at every boundary', ({ store, open }) => {
  let where: string
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'soloist-kill-'))
    where = store === 'redis' ? String(process.env.SOLOIST_TEST_REDIS) : join(folder, 'locks.db')
  })
  afterAll(() => rm(folder, { recursive: true }))

  it.concurrent.each(Object.keys(operations))('%s', { timeout }, async operation => {
    const prefix = (point: number) => `kill:${operation.length}:${point}:`
    const killed = await killAtEach({ first: 1, step: 1, atOnce: AT_ONCE }, async point => {
      const { died, places, said } = await new Doomed('dies.js', {
        ...{ store, where, prefix: prefix(point), operation, point },
      }).told
      if (died) expect(places.length, `killed at ${places.at(-1)}`).toBe(point)
      else expect(places.length, `what a process met that was to die at ${point}`).toBeLessThan(point)
      await using solo = connect(open(where, prefix(point)))
      for (const name of ['a', 'b']) {
        // The highest that the process was told.
        const fence = Math.max(0, ...said.filter(record => record.name === name).map(record => Number(record.fence)))
        await assertFree(solo, name, fence, `${died ? places.at(-1) : 'the end'} (${point})`)
      }
      if (store === 'redis') await assertAllExpires(where, prefix(point))
      return died
    })
    expect(killed).toBeGreaterThan(5)
    console.log(`${store}: ${operation}: killed at ${killed} points`)
  })
})

/** The lock can be had soon, with a higher fence, and nothing stays behind of it. */
async function assertFree(solo: Soloist, name: string, fence: number, place: string): Promise<void> {
  const lease = await solo.lock(name, { waitMs: FREE_MS })
  expect(lease.fence, `the fence of ${name} after a kill at: ${place}`).toBeGreaterThan(fence)
  expect((await solo.inspect(name))?.holders.map(({ owner }) => owner)).toEqual([lease.owner])
  await lease.release()
  const state = await solo.inspect(name)
  expect(state === null ? 0 : state.holding + state.waiting, `what is left of ${name} after: ${place}`).toBe(0)
}
