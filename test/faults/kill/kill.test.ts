import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { connect, type Soloist } from 'soloist'
import { redisBackend } from 'soloist/redis'
import { sqliteBackend } from 'soloist/sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { operations, TTL_MS } from './children/operations.js'

const CHILD = fileURLToPath(new URL('./children/dies.js', import.meta.url))
/** How many processes at once. */
const AT_ONCE = 2
/** A dead holder's ttl and a dead waiter's grant, and what a busy machine takes. */
const FREE_MS = 2 * TTL_MS + 10_000

interface Told {
  /** Whether the process killed itself; if not, the operation met fewer boundaries than the number it was given. */
  readonly died: boolean
  /** The highest fence of each lock that the process was told. */
  readonly fences: ReadonlyMap<string, number>
  /** The boundaries it met, in order. */
  readonly places: readonly string[]
}

/**
 * Runs the process until it dies or is done. How many boundaries an operation has differs by run: a process that was slow
 * asks once more.
 */
async function runChild(argument: object): Promise<Told> {
  const child = spawn(process.execPath, [CHILD, JSON.stringify(argument)], { stdio: ['ignore', 'pipe', 'pipe'] })
  let [text, complaint] = ['', '']
  child.stdout.setEncoding('utf8').on('data', chunk => {
    text += chunk
  })
  child.stderr.setEncoding('utf8').on('data', chunk => {
    complaint += chunk
  })
  const [code, signal] = await once(child, 'close')
  const died = signal === 'SIGKILL'
  expect(died ? [null, 'SIGKILL'] : [0, null], complaint).toEqual([code, signal])
  const fences = new Map<string, number>()
  let places: readonly string[] = []
  for (const line of text.split('\n').filter(Boolean)) {
    const record = JSON.parse(line)
    if ('places' in record) places = record.places
    else fences.set(record.name, Math.max(record.fence, fences.get(record.name) ?? 0))
  }
  expect(places.length, 'how many boundaries the process met').toBeGreaterThan(0)
  return { died, fences, places }
}

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

  it.concurrent.each(Object.keys(operations))('%s', async operation => {
    const prefix = (point: number) => `kill:${operation.length}:${point}:`
    let [next, killed, lived] = [1, 0, false]
    const worker = async () => {
      while (!lived) {
        const point = next++
        const { died, fences, places } = await runChild({ store, where, prefix: prefix(point), operation, point })
        if (died) {
          expect(places.length, `killed at ${places.at(-1)}`).toBe(point)
          killed += 1
        } else {
          expect(places.length, `what a process met that was to die at ${point}`).toBeLessThan(point)
          lived = true
        }
        await using solo = connect(open(where, prefix(point)))
        for (const name of ['a', 'b'])
          await assertFree(solo, name, fences.get(name) ?? 0, `${died ? places.at(-1) : 'the end'} (${point})`)
        if (store === 'redis') await assertAllExpires(where, prefix(point))
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
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

/** No key of the prefix is there for ever. */
async function assertAllExpires(url: string, prefix: string): Promise<void> {
  const redis = new Redis(url)
  try {
    for (const key of await redis.keys(`*${prefix}*`)) {
      // A key may run out between the two questions.
      expect(await redis.pttl(key), `how long ${key} lives`).not.toBe(-1)
    }
  } finally {
    redis.disconnect()
  }
}
