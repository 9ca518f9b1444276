// Guards invariants J1, J2 and J7 of docs/guarantees.md.
import { describe, expect, it, vi } from 'vitest'
import { Bench, Recorder, untilIdle } from '../../bullmq/support.js'
import { all, assertAllExpires, Doomed, killAtEach } from './support.js'

vi.setConfig({ testTimeout: all ? 20 * 60_000 : 4 * 60_000 })

const AT_ONCE = 2
/** In the suite, every how manieth boundary. */
const STEP = all ? 1 : 13
const operations = ['adds', 'processes what was added', 'adds what is to follow, and processes that too']

describe('a process with a queue of BullMQ that is killed at a command of its clients', () => {
  it.concurrent.each(operations)('while it %s', async operation => {
    const steps = { first: 1 + operations.indexOf(operation), step: STEP, atOnce: AT_ONCE }
    const killed = await killAtEach(steps, async point => {
      const bench = new Bench()
      const runs = new Recorder()
      try {
        const queue = bench.queue({ onDuplicate: 'rerun' })
        const accepted = new Set<unknown>()
        if (operation !== 'adds') {
          await queue.addUnique('sync', { key: 1, value: 1 })
          accepted.add(1)
        }
        const { url, prefix, lockPrefix } = bench
        const child = new Doomed('dies-with-queue.js', { url, prefix, lockPrefix, operation, point })
        const { died, places, said } = await child.told
        const place = `${died ? places.at(-1) : 'the end'} (${point})`
        for (const { value } of said) if (value !== undefined) accepted.add(value)
        bench.worker(runs.run, { lockDuration: 5_000, stalledInterval: 200, maxStalledCount: 10 })
        await untilIdle(bench, queue)
        const ran = new Set<unknown>([...said.map(({ ran }) => ran), ...runs.started])
        expect(
          [...accepted].filter(value => !ran.has(value)),
          `accepted and not run, killed at ${place}`,
        ).toEqual([])
        expect(runs.mostAtOnce, place).toBeLessThanOrEqual(1)
        const { outcome } = await queue.addUnique('sync', { key: 1, value: 9 })
        expect(outcome.status, place).toBe('started')
        await untilIdle(bench, queue)
        expect(runs.started, place).toContain(9)
        expect(await bench.held(), place).toEqual({})
        await assertAllExpires(url, prefix, key => key.startsWith(`${prefix}:work:`))
        return died
      } finally {
        await bench.close()
      }
    })
    expect(killed).toBeGreaterThan(all ? 20 : 1)
    console.log(`BullMQ: ${operation}: killed at ${killed} points`)
  })
})
