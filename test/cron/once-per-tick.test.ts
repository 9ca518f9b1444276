import { CronTime } from 'cron'
import type { Soloist } from 'soloist'
import { crons, type OncePerTickOptions, oncePerTick, type TickRun, tickOf } from 'soloist/cron'
import { describe, expect, it } from 'vitest'
import { record, useWorld, watch } from '../support/world.js'

const use = useWorld()
const bad = expect.objectContaining({ name: 'SoloistError', code: 'INVALID_ARGUMENT' })
const lost = expect.objectContaining({ code: 'LEASE_LOST' })
const KEEP_MS = 600_000

/** The tick of this moment. */
const tick = () => new Date(use.world.clock.wallMs())

/** Work that ends when it is told to. */
class Work {
  readonly runs: TickRun[] = []
  #end: ((value: string) => void)[] = []

  readonly run = async (run: TickRun): Promise<string> => {
    this.runs.push(run)
    return await new Promise(resolve => this.#end.push(resolve))
  }

  async end(value = 'done'): Promise<void> {
    for (const end of this.#end.splice(0)) end(value)
    await use.world.clock.flush()
  }
}

function start(solo: Soloist, at: Date, work: Work, options: OncePerTickOptions = {}) {
  return watch(oncePerTick(solo, 'nightly', at, work.run, options))
}

describe('a tick', () => {
  it('is run by one of those who come to it, and the others are told by whom', async () => {
    const { world } = use
    const [one, two, three] = [world.client(), world.client(), world.client()]
    const at = tick()
    const work = new Work()
    const first = start(one.solo, at, work)
    const others = [two, three].map(({ solo }) => start(solo, at, work))
    await world.clock.flush()
    expect(work.runs).toHaveLength(1)
    expect(work.runs[0]).toMatchObject({ name: 'nightly', scheduledAt: at, caughtUp: false })
    for (const { value } of others) {
      expect(value).toEqual({ status: 'elsewhere', by: expect.stringContaining(one.solo.clientId), result: null })
    }
    await work.end('report')
    expect(first.value).toEqual({ status: 'ran', value: 'report', fence: work.runs[0]?.fence, tookMs: 0 })
  })

  it('is not run again by who comes after the run has ended, for keepForMs; then it is refused', async () => {
    const { world } = use
    const [one, two] = [world.client(), world.client()]
    const at = tick()
    expect(await oncePerTick(one.solo, 'nightly', at, () => 'quick')).toMatchObject({ status: 'ran', value: 'quick' })
    const late = { status: 'elsewhere', by: expect.stringContaining(one.solo.clientId), result: 'ok' }
    for (let i = 0; i < 10; i++) {
      expect(await oncePerTick(two.solo, 'nightly', at, () => 'again')).toEqual(late)
      await world.clock.advance(KEEP_MS / 10 - 1)
    }
    await world.clock.advance(1_000)
    expect(await oncePerTick(two.solo, 'nightly', at, () => 'again')).toMatchObject({ status: 'refused', why: 'late' })
    // What was refused leaves nothing.
    expect(world.inUse()).toEqual(['cron:nightly'])
  })

  it('is another one at another time, and of another name', async () => {
    const { solo } = use.world.client()
    const at = tick()
    const next = new Date(at.getTime() + 1_000)
    const ran = await Promise.all([
      oncePerTick(solo, 'a', at, () => 1),
      oncePerTick(solo, 'a', next, () => 2),
      oncePerTick(solo, 'b', at.getTime(), () => 3),
    ])
    expect(ran.map(({ status }) => status)).toEqual(['ran', 'ran', 'ran'])
  })

  it('is kept from its run until keepForMs after its time, also when it is run early', async () => {
    const { world } = use
    const { solo } = world.client()
    const at = new Date(world.clock.wallMs() + 300_000)
    expect(await oncePerTick(solo, 'nightly', at, () => 1)).toMatchObject({ status: 'ran' })
    await world.clock.advance(300_000 + KEEP_MS - 1_000)
    expect(await oncePerTick(solo, 'nightly', at, () => 2)).toMatchObject({ status: 'elsewhere' })
  })

  it('that is further ahead of the store than it would be kept is refused', async () => {
    const { world } = use
    const at = new Date(world.clock.wallMs() + KEEP_MS + 1_000)
    const outcome = await oncePerTick(world.client().solo, 'nightly', at, () => 1)
    expect(outcome).toEqual({ status: 'refused', why: 'early', offMs: -KEEP_MS - 1_000 })
    expect(world.inUse()).toEqual([])
  })

  it('stays held while it runs, however long that takes', async () => {
    const { world } = use
    const at = tick()
    const work = new Work()
    const run = start(world.client().solo, at, work)
    await world.clock.advance(10 * KEEP_MS)
    expect(world.owners(`tick:nightly@${at.toISOString()}`)).toHaveLength(1)
    expect(await oncePerTick(world.client().solo, 'nightly', at, () => 2)).toMatchObject({ result: null })
    await work.end()
    expect(run.value).toMatchObject({ status: 'ran', tookMs: 10 * KEEP_MS })
    expect(await oncePerTick(world.client().solo, 'nightly', at, () => 2)).toMatchObject({ result: 'ok' })
  })

  it('whose work throws has run, and is not run again', async () => {
    const { world } = use
    const at = tick()
    const error = new Error('no disk')
    const work = () => {
      throw error
    }
    expect(await oncePerTick(world.client().solo, 'nightly', at, work)).toMatchObject({ status: 'failed', error })
    expect(await oncePerTick(world.client().solo, 'nightly', at, work)).toMatchObject({ result: 'failed' })
    const [state] = await crons(world.client().solo)
    expect(state?.last).toMatchObject({ scheduledAt: at, result: 'failed', error: 'no disk' })
  })

  it('whose process died is not run again', async () => {
    const { world } = use
    const at = tick()
    const dead = world.client()
    const work = new Work()
    start(dead.solo, at, work)
    await world.clock.flush()
    dead.link.fate = 'drop'
    await world.clock.advance(KEEP_MS / 2)
    expect(await oncePerTick(world.client().solo, 'nightly', at, () => 2)).toMatchObject({ status: 'elsewhere' })
    await world.clock.advance(KEEP_MS)
    expect(await oncePerTick(world.client().solo, 'nightly', at, () => 2)).toMatchObject({ status: 'refused' })
    expect(work.runs).toHaveLength(1)
  })

  it('whose client was closed in the middle of it is not run again', async () => {
    const { world } = use
    const at = tick()
    const { solo } = world.client()
    const work = new Work()
    start(solo, at, work)
    await world.clock.flush()
    const closing = watch(solo.close())
    await world.clock.flush()
    expect(work.runs[0]?.signal.reason).toMatchObject({ code: 'CLOSED' })
    await world.clock.advance(1_000)
    expect(closing.settled).toBe(true)
    expect(await oncePerTick(world.client().solo, 'nightly', at, () => 2)).toMatchObject({ status: 'elsewhere' })
    await work.end()
  })

  it('whose work ends while its client is closed is marked as it ended', async () => {
    const { world } = use
    const at = tick()
    const { solo } = world.client()
    const run = watch(
      oncePerTick(solo, 'nightly', at, async ({ signal }) => {
        await new Promise(resolve => signal.addEventListener('abort', resolve))
        return 'in time'
      }),
    )
    await world.clock.flush()
    await solo.close()
    expect(run.value).toMatchObject({ status: 'ran', value: 'in time' })
    expect(await oncePerTick(world.client().solo, 'nightly', at, () => 2)).toMatchObject({ result: 'ok' })
  })

  it('is had again by an instance whose question the store did not answer', async () => {
    const { world } = use
    const at = tick()
    const { solo, link } = world.client()
    link.fate = 'refuse'
    await expect(oncePerTick(solo, 'nightly', at, () => 1)).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    link.fate = 'pass'
    expect(await oncePerTick(solo, 'nightly', at, () => 1)).toMatchObject({ status: 'ran' })
  })

  it('is had by others when the answer to a grant was lost', async () => {
    const { world } = use
    const at = tick()
    const { solo, link } = world.client()
    link.next('acquire', 'lose', 'lose')
    await expect(oncePerTick(solo, 'nightly', at, () => 1)).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    await world.clock.flush()
    expect(await oncePerTick(world.client().solo, 'nightly', at, () => 1)).toMatchObject({ status: 'ran' })
  })

  it('is had again when the store did not tell its time', async () => {
    const { world } = use
    const at = tick()
    const { solo, link } = world.client()
    link.next('inspect', 'refuse')
    await expect(oncePerTick(solo, 'nightly', at, () => 1)).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    expect(await oncePerTick(world.client().solo, 'nightly', at, () => 1)).toMatchObject({ status: 'ran' })
  })

  it('that took longer than it may has failed, and its signal says so', async () => {
    const { world } = use
    const { solo } = world.client()
    const work = new Work()
    const run = start(solo, tick(), work, { maxRunMs: 5_000, ttlMs: 2_000 })
    await world.clock.advance(4_999)
    expect(work.runs[0]?.signal.aborted).toBe(false)
    await world.clock.advance(1)
    const timeout = expect.objectContaining({ code: 'RUN_TIMEOUT' })
    expect(work.runs[0]?.signal.reason).toEqual(timeout)
    expect(run.settled).toBe(false)
    // It does not end, and is waited for no longer.
    await world.clock.advance(2_000)
    expect(run.value).toMatchObject({ status: 'failed', error: timeout, tookMs: 7_000 })
    await work.end()
  })

  it('that ends when its signal fires has failed at once', async () => {
    const { world } = use
    const { solo } = world.client()
    const work = async ({ signal }: TickRun) => {
      await new Promise(resolve => signal.addEventListener('abort', resolve))
    }
    const run = watch(oncePerTick(solo, 'nightly', tick(), work, { maxRunMs: 5_000 }))
    await world.clock.advance(5_000)
    expect(run.value).toMatchObject({ status: 'failed', error: { code: 'RUN_TIMEOUT' } })
  })

  it('leaves no timer and nobody who waits', async () => {
    const { world } = use
    const { solo } = world.client()
    await oncePerTick(solo, 'nightly', tick(), () => 1, { maxRunMs: 5_000, recover: true })
    await solo.close()
    expect(world.clock.pending).toBe(0)
  })
})

describe('with recover, a tick', () => {
  const recover = { recover: true, ttlMs: 9_000 }

  it('whose process died is run by another instance, with a higher fence', async () => {
    const { world } = use
    const at = tick()
    const dead = world.client()
    const work = new Work()
    const first = start(dead.solo, at, work, recover)
    await world.clock.flush()
    const second = start(world.client().solo, at, work, recover)
    await world.clock.advance(8_000)
    dead.link.fate = 'drop'
    expect([work.runs.length, second.settled]).toEqual([1, false])
    await world.clock.advance(14_000)
    expect(work.runs).toHaveLength(2)
    expect(work.runs[1]?.fence).toBeGreaterThan(work.runs[0]?.fence as number)
    expect(work.runs[0]?.signal.reason).toEqual(lost)
    await work.end()
    expect(first.value).toMatchObject({ status: 'lost', error: lost })
    expect(second.value).toMatchObject({ status: 'ran' })
    expect((await crons(world.client().solo))[0]?.last).toMatchObject({ result: 'ok' })
  })

  it('that ended is not run again, and who waited is told', async () => {
    const { world } = use
    const at = tick()
    const work = new Work()
    start(world.client().solo, at, work, recover)
    await world.clock.flush()
    const second = start(world.client().solo, at, work, recover)
    await world.clock.advance(60_000)
    expect(second.settled).toBe(false)
    await work.end()
    await world.clock.advance(4_000)
    expect(second.value).toMatchObject({ status: 'elsewhere', result: 'ok' })
    expect(work.runs).toHaveLength(1)
  })

  it('is recovered also when its run was older than ticks are kept', async () => {
    const { world } = use
    const at = tick()
    const dead = world.client()
    const work = new Work()
    start(dead.solo, at, work, recover)
    await world.clock.flush()
    const second = start(world.client().solo, at, work, recover)
    await world.clock.advance(2 * KEEP_MS)
    dead.link.fate = 'drop'
    await world.clock.advance(14_000)
    expect(work.runs).toHaveLength(2)
    await work.end()
    expect(second.value).toMatchObject({ status: 'ran' })
  })

  it('whose client was closed is run by another instance at once', async () => {
    const { world } = use
    const at = tick()
    const { solo } = world.client()
    const run = watch(
      oncePerTick(
        solo,
        'nightly',
        at,
        async ({ signal }) => {
          await new Promise(resolve => signal.addEventListener('abort', resolve))
          signal.throwIfAborted()
        },
        recover,
      ),
    )
    await world.clock.flush()
    const work = new Work()
    const second = start(world.client().solo, at, work, recover)
    await world.clock.flush()
    await solo.close()
    await world.clock.flush()
    expect(run.value).toMatchObject({ status: 'failed', error: { code: 'CLOSED' } })
    expect(work.runs).toHaveLength(1)
    await work.end()
    expect(second.value).toMatchObject({ status: 'ran' })
  })

  it('is waited for until the signal fires', async () => {
    const { world } = use
    const at = tick()
    const work = new Work()
    start(world.client().solo, at, work, recover)
    await world.clock.flush()
    const controller = new AbortController()
    const second = start(world.client().solo, at, work, { ...recover, signal: controller.signal })
    await world.clock.flush()
    controller.abort()
    await world.clock.flush()
    expect(second.error).toMatchObject({ code: 'ABORTED' })
    await work.end()
  })
})

describe('what is known of cron jobs', () => {
  it('is the last tick: by whom, when, how long, how it ended', async () => {
    const { world } = use
    const { solo } = world.client()
    expect(await crons(solo)).toEqual([])
    const at = tick()
    const work = new Work()
    start(solo, at, work)
    await world.clock.advance(1_500)
    const by = expect.stringContaining(solo.clientId)
    const running = { scheduledAt: at, by, startedAt: at, tookMs: null, result: null, error: null }
    const known = { name: 'nightly', pattern: null, timezone: null, since: at, next: null }
    expect(await crons(solo)).toEqual([{ ...known, last: running }])
    await work.end()
    expect(await crons(solo)).toEqual([{ ...known, last: { ...running, tookMs: 1_500, result: 'ok' } }])
    // An older tick that runs late changes nothing.
    await oncePerTick(solo, 'nightly', new Date(at.getTime() - 1_000), () => {})
    expect((await crons(solo, 'night'))[0]?.last?.scheduledAt).toEqual(at)
    expect(await crons(solo, 'x')).toEqual([])
  })

  it('is not changed when the store does not answer, and the run counts all the same', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const events = record(solo)
    link.next('inspect', 'pass', 'refuse', 'refuse', 'refuse', 'refuse')
    expect(await oncePerTick(solo, 'nightly', tick(), () => 1)).toMatchObject({ status: 'ran' })
    await world.clock.flush()
    expect(events.filter(([event]) => event === 'fault')).not.toEqual([])
    expect(await crons(solo)).toEqual([])
  })
})

describe('what cannot be taken', () => {
  const now = new Date()

  it.each<[unknown, unknown, unknown, unknown]>([
    ['', now, () => {}, {}],
    ['x'.repeat(901), now, () => {}, {}],
    [7, now, () => {}, {}],
    ['a', new Date('nonsense'), () => {}, {}],
    ['a', '2026-01-01', () => {}, {}],
    ['a', -1, () => {}, {}],
    ['a', 0.5, () => {}, {}],
    ['a', Date.UTC(10_000, 0), () => {}, {}],
    ['a', now, 'work', {}],
    ['a', now, () => {}, null],
    ['a', now, () => {}, { keepForMs: 999 }],
    ['a', now, () => {}, { ttlMs: 0 }],
    ['a', now, () => {}, { keepForMs: 5_000, ttlMs: 6_000 }],
    ['a', now, () => {}, { recover: 'yes' }],
    ['a', now, () => {}, { maxRunMs: 0 }],
    ['a', now, () => {}, { signal: 7 }],
    ['a', now, () => {}, { keep: 7 }],
  ])('%# is refused before anything is sent', async (name, at, work, options) => {
    const { solo, link } = use.world.client()
    const call = oncePerTick as (...all: unknown[]) => Promise<unknown>
    await expect(call(solo, name, at, work, options)).rejects.toEqual(bad)
    expect(link.count()).toBe(0)
  })
})

describe('tickOf', () => {
  const at = new Date('2026-03-01T02:00:00.012Z')

  it('is that for which the package cron fires, but for the hours around a change of the clocks', () => {
    const patterns = ['0 3 * * *', '30 2 * * *', '*/20 1-3 * * *', '0 9 * * 1-5']
    const changes = [Date.parse('2026-03-29T01:00Z'), Date.parse('2026-10-25T01:00Z')]
    const others = [Date.parse('2028-02-29T00:00Z')]
    const differ: { at: number; nearMs: number }[] = []
    for (const pattern of patterns) {
      const time = new CronTime(pattern, 'Europe/Berlin')
      for (const middle of [...changes, ...others]) {
        for (let at = middle - 43_200_000; at < middle + 43_200_000; ) {
          const fires = time.getNextDateFrom(new Date(at), 'Europe/Berlin').toMillis()
          const tick = tickOf(pattern, { timezone: 'Europe/Berlin', at: fires }).getTime()
          expect(tick, `${pattern} at ${new Date(fires).toISOString()}`).toBeLessThanOrEqual(fires)
          if (tick !== fires) differ.push({ at: fires, nearMs: Math.min(...changes.map(ms => Math.abs(ms - fires))) })
          at = fires
        }
      }
    }
    expect(differ.filter(({ nearMs }) => nearMs > 3_600_000)).toEqual([])
  })

  it('is the last time of a pattern or an interval, for a timer that fires a little early or late', () => {
    const two = new Date('2026-03-01T02:00:00Z')
    expect(tickOf('0 * * * *', { timezone: 'UTC', at })).toEqual(two)
    expect(tickOf('0 * * * *', { timezone: 'UTC', at: new Date(two.getTime() - 20) })).toEqual(two)
    expect(tickOf('0 3 * * *', { timezone: 'Europe/Berlin', at })).toEqual(two)
    expect(tickOf(60_000, { at: two.getTime() + 59_000 })).toEqual(two)
    expect(tickOf(60_000, { at: two.getTime() - 20 })).toEqual(two)
    const before = Date.now()
    const now = tickOf(1_000).getTime()
    expect(now).toBeGreaterThan(before - 1_000)
    expect(now).toBeLessThanOrEqual(Date.now() + 1_000)
    expect(now % 1_000).toBe(0)
  })

  it.each([
    ['nonsense', {}],
    [0, {}],
    ['* * * * *', { timezone: 'Mars/Base' }],
    ['* * * * *', { at: 'now' }],
  ])('refuses %j with %j', (schedule, options) => {
    expect(() => tickOf(schedule, options as object)).toThrow(bad)
  })
})
