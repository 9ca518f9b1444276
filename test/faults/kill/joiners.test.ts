// Guards invariants L5, J1 and J8 of docs/guarantees.md.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { connect } from 'soloist'
import { redisBackend } from 'soloist/redis'
import { sqliteBackend } from 'soloist/sqlite'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { Crowd } from '../../support/crowd.js'
import { assertAllExpires } from './support.js'

const SCRIPT = fileURLToPath(new URL('./children/joins.js', import.meta.url))
const PROCESSES = 4
const EACH = 250
/** Its client counts as silent after 12 seconds, and who watches it asks every four. Two of those are for a busy machine. */
const TOLD_MS = 25_000

vi.setConfig({ testTimeout: 120_000 })

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'soloist-joiners-'))
})
afterAll(() => rm(folder, { recursive: true }))

// Another run executes all the time, so that nobody but those who joined asks about the lock.
describe.each(['redis', 'sqlite'])('on %s, a process is killed whose run waits for its turn', store => {
  test.each(['adds to it', 'joins it'])('a thousand of which each %s, from four processes, are told', async kind => {
    const prefix = `joiners:${process.pid}:${kind.length}:`
    const where = store === 'redis' ? String(process.env.SOLOIST_TEST_REDIS) : join(folder, `${kind}.db`)
    const start = (count: number) => Crowd.start(SCRIPT, [store, where, prefix, kind], count)
    await using executing = await start(1)
    await using crowd = await start(PROCESSES)
    const doomed = await start(1)
    await using solo = connect(store === 'redis' ? redisBackend(where, { prefix }) : sqliteBackend(where, { prefix }))
    const pending = async () => {
      for await (const { name, pending } of solo.jobs.list()) if (pending) return { name, ...pending }
      return null
    }
    const { id: runs } = (await executing.ask<{ readonly id: string }>('executes'))[0] as { readonly id: string }
    await doomed.ask('triggers', ['doomed'])
    const waits = (await pending())?.owner
    expect(waits).toEqual(expect.any(String))
    const items = Array.from({ length: EACH }, (_, i) => `item ${i}`)
    const told = await crowd.ask<readonly string[]>('triggers', items)
    // Who adds to it is told of the run that executes.
    expect([...new Set(told.flat())]).toEqual([kind === 'joins it' ? waits : runs])
    expect((await pending())?.owner).toBe(waits)

    await doomed[Symbol.asyncDispose]()
    // They start anew while the other run goes on.
    const anew = async () => [undefined, waits].includes((await pending())?.owner)
    await expect.poll(anew, { timeout: TOLD_MS, interval: 200 }).toBe(false)
    await executing.ask('ends')
    const results = await crowd.ask<readonly (readonly [id: string, items: readonly string[]])[]>('results')
    const ran = new Map(results.flat())
    expect([...ran.keys()]).not.toContain(waits)
    expect([...ran.keys()]).not.toContain(runs)
    if (kind === 'adds to it') {
      const covered = [...ran.values()].flat()
      for (const item of items) expect(covered.filter(one => one === item)).toHaveLength(PROCESSES)
      expect(covered).toHaveLength(PROCESSES * EACH)
    }
    await Promise.all([crowd.ask('close'), executing.ask('close')])
    for await (const { name } of solo.jobs.list()) expect.unreachable(`${name} is in use`)
    if (store === 'redis') await assertAllExpires(where, prefix)
  })
})
