// Guards invariants L1, J1, J4 and J8 of docs/guarantees.md.
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type Soloist } from 'soloist'
import { redisBackend } from 'soloist/redis'
import { sqliteBackend } from 'soloist/sqlite'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { jobIn, now } from './children/jobs.js'
import { all, assertAllExpires, Doomed, killAtEach } from './support.js'

vi.setConfig({ testTimeout: all ? 10 * 60_000 : 4 * 60_000 })

const AT_ONCE = 2
/** In the suite, every how manieth boundary: a call has three of them, so each kind is among them. */
const STEP = all ? 1 : 2

/** Before a call is sent, when it was sent and has no reply, and when nothing came of its reply yet. */
const BOUNDARIES = 3

const stores = [
  { store: 'redis', open: (where: string, prefix: string) => redisBackend(where, { prefix }) },
  { store: 'sqlite', open: (where: string, prefix: string) => sqliteBackend(where, { prefix }) },
].slice(0, all ? 2 : 1)

/**
 * What the process is in the middle of. Another process triggers the job, too, which has to be covered whatever becomes of it.
 * `calls`: how many it makes at least, if it lives. A run whose place the other one takes makes none but its trigger.
 */
const cases = [
  { operation: 'runs it', kind: 'join', calls: 2 },
  { operation: 'runs it', kind: 'rerun', calls: 2 },
  { operation: 'runs it', kind: 'merge', calls: 2 },
  { operation: 'waits for the turn of its run', kind: 'rerun', calls: 1 },
  { operation: 'waits for the turn of its run', kind: 'merge', calls: 3 },
  { operation: 'waits for the turn of its run', kind: 'replace', calls: 1 },
] as const

describe.each(stores)('on $store, a process with a job that is killed at a boundary', ({ store, open }) => {
  let where: string
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'soloist-kill-'))
    where = store === 'redis' ? String(process.env.SOLOIST_TEST_REDIS) : join(folder, 'locks.db')
  })
  afterAll(() => rm(folder, { recursive: true }))

  it.concurrent.each(cases)('while it $operation ($kind)', async ({ operation, kind, calls }) => {
    const index = cases.findIndex(one => one.operation === operation && one.kind === kind)
    const steps = { first: 1 + (index % STEP), step: STEP, atOnce: AT_ONCE }
    const killed = await killAtEach(steps, async point => {
      const prefix = `kill:jobs:${process.pid}:${index}:${point}:`
      const child = new Doomed('dies-with-job.js', { store, where, prefix, operation, kind, point })
      await using solo = connect(open(where, prefix))
      await Promise.race([once(child.process, 'message'), child.told])
      const place = `point ${point}`
      const job = jobIn(solo, kind)
      const sentMs = now()
      const outcome = await job.trigger({ items: ['parent'] })
      // It may be dead by now, or die before it reads this: that is what is tested.
      if (child.process.connected) child.process.send('go on', () => undefined)
      const { items, startedMs } = await outcome.result()
      if (kind === 'join') expect(items, place).toHaveLength(1)
      else {
        expect(startedMs, `when the run started, ${place}`).toBeGreaterThan(sentMs)
        expect(
          items.filter(item => item === 'parent'),
          `the arguments of ${items}, ${place}`,
        ).toEqual(['parent'])
      }
      const { died, places } = await child.told
      if (died) expect(places).toHaveLength(point)
      await assertFree(solo, kind, `killed at ${places.at(-1)}`)
      if (store === 'redis') await assertAllExpires(where, prefix)
      return died
    })
    expect(killed).toBeGreaterThanOrEqual(all ? calls * BOUNDARIES : 1)
    console.log(`${store}: ${operation} (${kind}): killed at ${killed} points`)
  })
})

/** The job can be run soon, and nothing stays behind of it. */
async function assertFree(solo: Soloist, kind: string, place: string): Promise<void> {
  const { items } = await jobIn(solo, kind)({ items: ['again'] })
  expect(items, `what is run again, ${place}`).toContain('again')
  const left: string[] = []
  for await (const { name, holding, waiting } of solo.jobs.list()) if (holding + waiting > 0) left.push(name)
  expect(left, `what is left, ${place}`).toEqual([])
}
