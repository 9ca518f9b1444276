import {
  type CronEvents,
  type CronOptions,
  type CronSchedule,
  cron,
  crons,
  oncePerTick,
  type TickRun,
} from 'soloist/cron'
import { describe, expect, it } from 'vitest'
import { type Client, useWorld, watch } from '../support/world.js'

const use = useWorld()
const bad = expect.objectContaining({ name: 'SoloistError', code: 'INVALID_ARGUMENT' })
const MINUTE = 60_000

/** One instance that runs the job `nightly`, and all that it tells. */
class Instance {
  readonly client: Client
  readonly schedule: CronSchedule
  readonly runs: TickRun[] = []
  readonly outcomes: string[] = []
  readonly told: [string, unknown][] = []
  /** How long a run takes. */
  workMs = 0

  constructor(options: CronOptions = {}, pattern = '* * * * *') {
    this.client = use.world.client()
    this.schedule = cron(this.client.solo, 'nightly', pattern, { timezone: 'UTC', ...options }, run => this.#run(run))
    this.schedule.on('tick', ({ scheduledAt, caughtUp, outcome }) => {
      this.outcomes.push(`${minute(scheduledAt)} ${outcome.status}${caughtUp ? ', caught up' : ''}`)
    })
    for (const event of ['failed', 'missed', 'fault', 'clock'] as const) {
      this.schedule.on(event, (detail: CronEvents[typeof event][0]) => void this.told.push([event, detail]))
    }
  }

  get ran(): readonly string[] {
    return this.runs.map(({ scheduledAt }) => minute(scheduledAt))
  }

  async #run(run: TickRun): Promise<void> {
    this.runs.push(run)
    if (this.workMs === 0) return
    await new Promise<void>(resolve => {
      const timer = use.world.clock.setTimer(this.workMs, resolve)
      run.signal.addEventListener('abort', () => {
        timer.cancel()
        resolve()
      })
    })
  }
}

const minute = (at: Date) => at.toISOString().slice(11, 19)
const advance = (ms: number) => use.world.clock.advance(ms)

describe('a cron job', () => {
  it('runs at each tick, on one of its instances', async () => {
    const instances = [new Instance(), new Instance(), new Instance()]
    await advance(3 * MINUTE)
    const ran = instances.flatMap(instance => instance.ran)
    expect(ran.sort()).toEqual(['00:01:00', '00:02:00', '00:03:00'])
    expect(instances.flatMap(({ outcomes }) => outcomes)).toHaveLength(9)
    expect(instances.flatMap(({ told }) => told)).toEqual([])
  })

  it('tells what is next, and is known to all', async () => {
    const { schedule, client } = new Instance({}, '30 4 * * *')
    await advance(0)
    const next = new Date(Date.UTC(2026, 0, 1, 4, 30))
    expect(schedule.next).toEqual(next)
    const known = { name: 'nightly', pattern: '30 4 * * *', timezone: 'UTC', last: null, next }
    expect(await crons(client.solo)).toEqual([expect.objectContaining(known)])
    await advance(5 * 60 * MINUTE)
    const tomorrow = new Date(next.getTime() + 86_400_000)
    const last = expect.objectContaining({ scheduledAt: next, result: 'ok', tookMs: 0 })
    expect(await crons(client.solo)).toEqual([expect.objectContaining({ ...known, last, next: tomorrow })])
  })

  it('goes by the time zone of its pattern', async () => {
    const { schedule } = new Instance({ timezone: 'Asia/Kolkata' }, '30 6 * * *')
    expect(schedule.next).toEqual(new Date(Date.UTC(2026, 0, 1, 1)))
  })

  it('comes to each tick that was due while its event loop was blocked', async () => {
    const { clock } = use.world
    const one = new Instance({ overlap: 'allow' }, '* * * * * *')
    await advance(1_000)
    clock.block(4_200)
    await advance(800)
    expect(one.ran).toEqual(['00:00:01', '00:00:02', '00:00:03', '00:00:04', '00:00:05', '00:00:06'])
  })

  it('misses what is older than lateMs, and says so', async () => {
    const { clock } = use.world
    const one = new Instance({ lateMs: 90_000, overlap: 'allow' })
    await advance(MINUTE)
    clock.block(10 * MINUTE)
    await advance(0)
    expect(one.ran).toEqual(['00:01:00', '00:10:00', '00:11:00'])
    const missed = {
      name: 'nightly',
      from: new Date(Date.UTC(2026, 0, 1, 0, 2)),
      until: new Date(Date.UTC(2026, 0, 1, 0, 9)),
    }
    expect(one.told).toEqual([['missed', missed]])
  })

  it('runs no tick again when the clock is set back', async () => {
    const { clock } = use.world
    const one = new Instance()
    await advance(3 * MINUTE)
    clock.suspend(-2 * MINUTE)
    await advance(4 * MINUTE)
    expect(one.ran).toEqual(['00:01:00', '00:02:00', '00:03:00', '00:04:00', '00:05:00'])
  })

  it('comes to the ticks of today when its clock had been a day ahead', async () => {
    const { clock } = use.world
    const one = new Instance()
    clock.suspend(86_400_000)
    await advance(MINUTE)
    clock.suspend(-86_400_000)
    const before = one.runs.length
    await advance(3 * MINUTE)
    const later = one.runs.slice(before).map(({ scheduledAt }) => scheduledAt)
    expect(later).toContainEqual(new Date(Date.UTC(2026, 0, 1, 0, 3)))
  })

  it('asks until the store answers, and runs the tick then', async () => {
    const one = new Instance()
    await advance(30_000)
    one.client.link.fate = 'refuse'
    await advance(45_000)
    expect(one.ran).toEqual([])
    expect(one.told.map(([event]) => event)).toEqual(['fault'])
    one.client.link.fate = 'pass'
    await advance(1_000)
    expect(one.ran).toEqual(['00:01:00'])
  })

  it('gives up a tick for which the store was away for longer than lateMs', async () => {
    const one = new Instance({ lateMs: 10_000 })
    await advance(30_000)
    one.client.link.fate = 'refuse'
    await advance(75_000)
    one.client.link.fate = 'pass'
    await advance(MINUTE)
    expect(one.ran).toEqual(['00:02:00'])
    expect(one.told.map(([event]) => event)).toEqual(['fault', 'fault'])
  })

  it('waits a random time up to jitterMs', async () => {
    // `random` is always a half in this world.
    const one = new Instance({ jitterMs: 20_000 })
    await advance(MINUTE + 9_999)
    expect(one.ran).toEqual([])
    await advance(1)
    expect(one.ran).toEqual(['00:01:00'])
  })

  it('tells of a run that failed', async () => {
    const { solo } = use.world.client()
    const error = new Error('no disk')
    const schedule = cron(solo, 'fails', '* * * * *', () => Promise.reject(error))
    const failed: unknown[] = []
    schedule.on('failed', detail => failed.push(detail))
    await advance(MINUTE)
    expect(failed).toEqual([expect.objectContaining({ name: 'fails', error })])
    expect((await crons(solo))[0]?.last).toMatchObject({ result: 'failed', error: 'no disk' })
  })

  it('is stopped when its runs have ended', async () => {
    const one = new Instance()
    one.workMs = 5_000
    await advance(MINUTE)
    const stopped = watch(one.schedule.stop())
    await advance(4_999)
    expect(stopped.settled).toBe(false)
    await advance(1)
    expect(stopped.settled).toBe(true)
    await advance(10 * MINUTE)
    expect([one.ran, one.schedule.next]).toEqual([['00:01:00'], null])
    // The name may be used again.
    await cron(one.client.solo, 'nightly', '* * * * *', () => {}).stop()
  })

  it('ends with its client', async () => {
    const one = new Instance()
    await advance(MINUTE)
    await one.client.solo.close()
    await advance(2 * MINUTE)
    expect([one.ran, one.schedule.next, one.told]).toEqual([['00:01:00'], null, []])
    expect(() => cron(one.client.solo, 'other', '* * * * *', () => {})).toThrow(
      expect.objectContaining({ code: 'CLOSED' }),
    )
  })
})

describe('a tick that is due while an earlier one runs, anywhere', () => {
  it('is skipped by default', async () => {
    const instances = [new Instance(), new Instance()]
    for (const instance of instances) instance.workMs = 90_000
    await advance(4 * MINUTE)
    expect(instances.flatMap(({ ran }) => ran)).toEqual(['00:01:00', '00:03:00'])
    expect(instances.flatMap(({ outcomes }) => outcomes)).toContain('00:02:00 skipped')
    expect((await crons(instances[0]?.client.solo as never))[0]?.last).toMatchObject({ result: 'skipped' })
  })

  it('waits with queue, and of those that come meanwhile none does', async () => {
    const instances = [new Instance({ overlap: 'queue' }), new Instance({ overlap: 'queue' })]
    for (const instance of instances) instance.workMs = 150_000
    await advance(5 * MINUTE)
    const ran = instances.flatMap(({ ran }) => ran).sort()
    expect(ran).toEqual(['00:01:00', '00:02:00'])
    expect(instances.flatMap(({ outcomes }) => outcomes)).toContain('00:03:00 skipped')
    await advance(2 * MINUTE)
    expect(instances.flatMap(({ ran }) => ran).sort()).toEqual(['00:01:00', '00:02:00', '00:04:00'])
  })

  it('runs beside it with allow', async () => {
    const one = new Instance({ overlap: 'allow' })
    one.workMs = 150_000
    await advance(3 * MINUTE)
    expect(one.ran).toEqual(['00:01:00', '00:02:00', '00:03:00'])
  })

  it('runs again once the process of the earlier one has been dead for a ttl', async () => {
    const dead = new Instance({ ttlMs: 90_000 })
    dead.workMs = 600_000
    await advance(MINUTE)
    expect(dead.ran).toEqual(['00:01:00'])
    dead.client.link.fate = 'drop'
    const other = new Instance({ ttlMs: 90_000 })
    await advance(2 * MINUTE)
    expect(other.ran).toEqual(['00:03:00'])
    expect(other.outcomes).toEqual(['00:02:00 skipped', '00:03:00 ran'])
  })
})

describe('with recover', () => {
  it('a tick whose process died is run by another instance, also where runs may not overlap', async () => {
    const options = { recover: true, ttlMs: 9_000 }
    const [one, two] = [new Instance(options), new Instance(options)]
    one.workMs = 30_000
    two.workMs = 30_000
    await advance(MINUTE)
    const [dead, other] = one.ran.length === 1 ? [one, two] : [two, one]
    dead.client.link.fate = 'drop'
    await advance(40_000)
    expect(other.ran).toEqual(['00:01:00'])
    expect(other.runs[0]?.fence).toBeGreaterThan(dead.runs[0]?.fence as number)
    expect(other.outcomes).toEqual([])
    await advance(10_000)
    expect(other.outcomes).toEqual(['00:01:00 ran'])
  })
})

describe('with recover, a tick whose process died while no other was up', () => {
  it('is run by the next that starts, once', async () => {
    const options = { recover: true, ttlMs: 9_000 }
    const dead = new Instance(options, '0 * * * *')
    dead.workMs = 60 * MINUTE
    await advance(61 * MINUTE)
    expect(dead.ran).toEqual(['01:00:00'])
    dead.client.link.fate = 'drop'
    await advance(20 * MINUTE)
    const others = [new Instance(options, '0 * * * *'), new Instance(options, '0 * * * *')]
    await advance(MINUTE)
    const runs = others.flatMap(({ runs }) => runs)
    expect(runs).toEqual([expect.objectContaining({ caughtUp: true, scheduledAt: dead.runs[0]?.scheduledAt })])
    expect(runs[0]?.fence).toBeGreaterThan(dead.runs[0]?.fence as number)
    await advance(20 * MINUTE)
    const late = new Instance(options, '0 * * * *')
    await advance(MINUTE)
    expect(late.ran).toEqual([])
  })

  it('is left alone while another instance runs it', async () => {
    const options = { recover: true, ttlMs: 9_000 }
    const one = new Instance(options, '0 * * * *')
    one.workMs = 10 * MINUTE
    await advance(61 * MINUTE)
    const other = new Instance(options, '0 * * * *')
    await advance(20 * MINUTE)
    expect([one.ran, other.ran]).toEqual([['01:00:00'], []])
    expect(other.outcomes).toEqual(['01:00:00 elsewhere, caught up'])
  })
})

describe('with catchUp', () => {
  const daily = '0 3 * * *'
  const DAY = 86_400_000
  const catchUp = { catchUp: true }

  it('the last tick that was missed while no instance was up is run, once', async () => {
    const first = new Instance(catchUp, daily)
    await advance(DAY)
    expect(first.ran).toEqual(['03:00:00'])
    await first.client.solo.close()
    await advance(3 * DAY)
    const others = [new Instance(catchUp, daily), new Instance(catchUp, daily)]
    await advance(MINUTE)
    expect(others.flatMap(({ ran }) => ran)).toEqual(['03:00:00'])
    const runs = others.flatMap(({ runs }) => runs)
    expect(runs[0]).toMatchObject({ caughtUp: true, scheduledAt: new Date(Date.UTC(2026, 0, 4, 3)) })
    await advance(60 * MINUTE)
    const late = new Instance(catchUp, daily)
    await advance(MINUTE)
    expect(late.ran).toEqual([])
  })

  it('nothing is caught up where nothing is known of the job, or with another pattern', async () => {
    const first = new Instance(catchUp, daily)
    await advance(MINUTE)
    expect(first.ran).toEqual([])
    await first.client.solo.close()
    await advance(10 * DAY)
    const other = new Instance(catchUp, '0 5 * * *')
    await advance(MINUTE)
    expect(other.ran).toEqual([])
  })

  it('nothing is caught up that another instance runs for longer than ticks are kept', async () => {
    const first = new Instance(catchUp, daily)
    first.workMs = 10 * 60 * MINUTE
    await advance(4 * 60 * MINUTE)
    const other = new Instance(catchUp, daily)
    await advance(MINUTE)
    expect([first.ran, other.ran]).toEqual([['03:00:00'], []])
  })

  it('nothing is caught up that is known to have run, although its tick is not kept any more', async () => {
    const first = new Instance(catchUp, daily)
    await advance(DAY)
    await first.client.solo.close()
    await advance(3 * DAY)
    const [one, two] = [new Instance(catchUp, daily), new Instance(catchUp, daily)]
    two.client.link.next('acquire', { arrivesAfterMs: 4_000 })
    await advance(1_000)
    expect(one.ran).toEqual(['03:00:00'])
    expect(await one.client.solo.unlock('tick:nightly@2026-01-04T03:00:00.000Z', { force: true })).toBe(true)
    await advance(MINUTE)
    expect([two.ran, two.outcomes]).toEqual([[], ['03:00:00 elsewhere, caught up']])
  })

  it('the last tick is run that was missed since the machine slept', async () => {
    const { clock } = use.world
    const one = new Instance(catchUp, daily)
    await advance(MINUTE)
    clock.suspend(2 * DAY)
    await advance(MINUTE)
    expect(one.ran).toEqual(['03:00:00'])
    expect(one.told.map(([event]) => event)).toEqual(['missed'])
    expect(one.runs[0]?.scheduledAt).toEqual(new Date(Date.UTC(2026, 0, 2, 3)))
  })

  it('a run that could not be noted does not begin', async () => {
    const one = new Instance(catchUp)
    await advance(30_000)
    one.client.link.fate = method => (method === 'inspect' ? 'refuse' : 'pass')
    await advance(40_000)
    expect(one.ran).toEqual([])
    one.client.link.fate = 'pass'
    await advance(2_000)
    expect(one.ran).toEqual(['00:01:00'])
  })

  it('nothing is caught up without it', async () => {
    const first = new Instance({}, daily)
    await advance(MINUTE)
    await first.client.solo.close()
    await advance(3 * DAY)
    const other = new Instance({}, daily)
    await advance(MINUTE)
    expect(other.ran).toEqual([])
  })
})

describe('a store whose clock is off against that of the instance', () => {
  it('by more than the time between two ticks is told once', async () => {
    const { world } = use
    await oncePerTick(world.client().solo, 'nightly', new Date(world.clock.wallMs()), () => {})
    // This instance's clock is ten minutes behind.
    const behind = { ...clockOf(), wallMs: () => world.clock.wallMs() - 5 * MINUTE }
    const { solo } = world.client({ clock: behind })
    const told: unknown[] = []
    const schedule = cron(solo, 'nightly', '* * * * *', { timezone: 'UTC' }, () => {})
    schedule.on('clock', detail => told.push(detail))
    await advance(10 * MINUTE)
    expect(told).toEqual([{ name: 'nightly', offsetMs: 5 * MINUTE, intervalMs: MINUTE }])
  })

  it('is not told of where only the event loop was blocked while the answer was there', async () => {
    const { world } = use
    const one = new Instance({ overlap: 'allow' }, '* * * * * *')
    const { link } = one.client
    const blocked = () => {
      world.clock.block(2_500)
      return Promise.resolve()
    }
    // The store tells its time, and then nothing runs here for longer than the time between two ticks.
    link.fate = method => (method === 'inspect' ? { answersAfter: blocked() } : 'pass')
    await advance(1_000)
    expect(one.runs.length).toBeGreaterThan(0)
    expect(one.told).toEqual([])
  })

  it('by more than ticks are kept runs nothing, and is told once', async () => {
    const { world } = use
    let behindMs = 0
    const clock = { ...clockOf(), wallMs: () => world.clock.wallMs() - behindMs }
    const { solo } = world.client({ clock })
    const runs: TickRun[] = []
    const told: unknown[] = []
    const outcomes: string[] = []
    const schedule = cron(solo, 'nightly', '* * * * *', { timezone: 'UTC' }, run => void runs.push(run))
    schedule.on('clock', detail => told.push(detail))
    schedule.on('tick', ({ outcome }) => outcomes.push(outcome.status))
    await advance(MINUTE)
    behindMs = 15 * MINUTE
    await advance(5 * MINUTE)
    expect(runs).toHaveLength(1)
    expect(outcomes).toEqual(['ran', 'refused', 'refused', 'refused', 'refused', 'refused'])
    expect(told).toEqual([{ name: 'nightly', offsetMs: behindMs, intervalMs: MINUTE }])
  })

  function clockOf() {
    const { clock } = use.world
    return {
      monotonicMs: () => clock.monotonicMs(),
      wallMs: () => clock.wallMs(),
      setTimer: (ms: number, run: () => void) => clock.setTimer(ms, run),
    }
  }
})

describe('what cannot be taken', () => {
  it.each<[unknown, unknown, unknown, unknown]>([
    ['', '* * * * *', {}, () => {}],
    ['a', 'nonsense', {}, () => {}],
    ['a', '* * * *', {}, () => {}],
    ['a', '61 * * * *', {}, () => {}],
    ['a', 7, {}, () => {}],
    ['a', '2030-01-01T00:00:00', {}, () => {}],
    ['a', '0 0 30 2 *', {}, () => {}],
    ['a', '* * * * *', { timezone: 'Mars/Base' }, () => {}],
    ['a', '* * * * *', { timezone: 7 }, () => {}],
    ['a', '* * * * *', { overlap: 'never' }, () => {}],
    ['a', '* * * * *', { catchUp: 1 }, () => {}],
    ['a', '* * * * *', { jitterMs: -1 }, () => {}],
    ['a', '* * * * *', { jitterMs: 70_000 }, () => {}],
    ['a', '* * * * *', { lateMs: 700_000 }, () => {}],
    ['a', '* * * * *', { ttlMs: 700_000 }, () => {}],
    ['a', '* * * * *', { tz: 'UTC' }, () => {}],
    ['a', '* * * * *', null, () => {}],
    ['a', '* * * * *', {}, 'work'],
    ['a', '* * * * *', () => {}, () => {}],
  ])('%# is refused when the job is made', (name, pattern, options, handler) => {
    const { solo, link } = use.world.client()
    expect(() => (cron as (...all: unknown[]) => unknown)(solo, name, pattern, options, handler)).toThrow(bad)
    expect(link.count()).toBe(0)
  })

  it('is a second job of a name on one client', () => {
    const one = new Instance()
    expect(() => cron(one.client.solo, 'nightly', '* * * * *', () => {})).toThrow(bad)
  })
})
