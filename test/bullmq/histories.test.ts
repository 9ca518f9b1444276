import { DuplicateJobError, jobLockNaming } from 'soloist'
import { describe, expect, test } from 'vitest'
import { cells, type Data, History, nameOf, optionsOf, untilPeriodEnds } from '../support/histories.js'
import { type Bench, type Data as BenchData, type TestQueue, until, useBench } from './support.js'

// Each limit with each strategy and mode, with and without merge: histories made at random, of several keys at once.

let bench: Bench
useBench('must not fail', fresh => {
  bench = fresh
})

const KEYS = Array.from({ length: 12 }, (_, i) => i + 1)
const EXPIRY_MS = 500

async function trigger(queue: TestQueue, data: Data): Promise<string> {
  try {
    const { outcome } = await queue.addUnique('sync', data)
    return outcome.status
  } catch (error) {
    if (!(error instanceof DuplicateJobError)) throw error
    return 'rejected'
  }
}

/** The keys of locks that are there for ever. */
async function forEver(): Promise<string[]> {
  const keys = await bench.redis.keys(`*${bench.lockPrefix}*`)
  const left: string[] = []
  for (const key of keys) if ((await bench.redis.pttl(key)) === -1) left.push(key)
  return left
}

describe.each(['one step', 'two steps'])('lock and job in %s', steps => {
  test.each(cells.map(cell => [nameOf(cell), cell] as const))('%s', async (_, cell) => {
    const solo = steps === 'one step' ? {} : { solo: bench.solo }
    const options = optionsOf(cell, EXPIRY_MS) as unknown as Parameters<Bench['queue']>[0]
    const queue = bench.queue(options, solo)
    await queue.waitUntilReady()
    const lockOf = jobLockNaming<{ key: number }>('sync', { uniqueOn: ['key'] }, `${bench.prefix}:${bench.queueName}`)
    const world = {
      trigger: (data: Data) => trigger(queue, data),
      look: () => queue.getJobCounts(),
      period: async (key: number) => {
        if (cell.mode === 'untilExpired') await untilPeriodEnds(lockOf({ key }).trigger, bench.solo)
      },
    }
    const histories = KEYS.map(key => new History(cell, key, world))
    await Promise.all(histories.map(history => history.prelude()))
    bench.worker(async job => await (histories[job.data.key - 1] as History).run(job.data as BenchData & Data), {
      concurrency: 200,
      singleton: { ...solo, jobs: { sync: options } as never },
    })
    await Promise.all(histories.map(history => history.go(12)))
    for (const history of histories) history.finish()
    const idle = async () => {
      const { active = 0, waiting = 0, delayed = 0 } = await queue.getJobCounts()
      return active + waiting + delayed === 0
    }
    await until(idle)
    expect(histories.flatMap(history => history.wrong)).toEqual([])
    await expect.poll(forEver).toEqual([])
  })
})
