import { DuplicateJobError, type Soloist } from 'soloist'
import { describe, expect, test } from 'vitest'
import { cells, type Data, History, nameOf, optionsOf, untilPeriodEnds } from '../support/histories.js'
import { type Kind, Store } from './support.js'

// Each limit with each strategy and mode, with and without merge: histories made at random, of several keys at once, from two
// clients.

const KINDS = ['memory', 'sqlite', 'redis'] as const satisfies readonly Kind[]
const KEYS = Array.from({ length: 10 }, (_, i) => i + 1)
const EXPIRY_MS = 1_000
/** Longer than a history lasts, however busy the machine is. */
const TTL_MS = 600_000

describe.each(KINDS)('on %s', kind => {
  test.concurrent.each(cells.map(cell => [nameOf(cell), cell] as const))('%s', async (_, cell) => {
    await using store = Store.of(kind)
    const clients = [store.client(), store.client()]
    const histories: History[] = []
    const run = (data: Data) => (histories[data.key - 1] as History).run(data)
    const jobs = clients.map(solo => solo.job('sync', { ...optionsOf(cell, EXPIRY_MS), ttlMs: TTL_MS }, run))
    const results: Promise<unknown>[] = []
    const look = () => clients[0]?.jobs.inspect('job:none') as Promise<unknown>
    const world = {
      trigger: async (data: Data) => {
        try {
          const outcome = await (jobs[data.value % 2] as (typeof jobs)[number]).trigger(data)
          results.push(outcome.result().catch(error => expect(error).toBeInstanceOf(DuplicateJobError)))
          return outcome.status
        } catch (error) {
          if (!(error instanceof DuplicateJobError)) throw error
          return 'rejected'
        }
      },
      look,
      period: async (key: number) => {
        const lock = `job:sync:${jobs[0]?.key({ key, value: 0, values: [] })}`
        if (cell.mode === 'untilExpired') await untilPeriodEnds(lock, clients[0] as Soloist)
      },
    }
    for (const key of KEYS) histories.push(new History(cell, key, world))
    await Promise.all(histories.map(history => history.prelude()))
    await Promise.all(histories.map(history => history.go(12)))
    for (const history of histories) history.finish()
    await Promise.all(results)
    expect(histories.flatMap(history => history.wrong)).toEqual([])
    expect(store.troubles).toEqual([])
  })
})
