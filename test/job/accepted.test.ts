// Guards invariants L5, H1, J1, J4, J8, J9 and J10 of docs/guarantees.md.
import { type JobFailure, SoloistError } from 'soloist'
import { describe, expect, test } from 'vitest'
import { useWorld, watch } from '../support/world.js'
import { args, merge, Runs } from './world.js'

const use = useWorld()
const MERGE = { onDuplicate: 'rerun', merge, ttlMs: 500 } as const
const NEWEST = { onDuplicate: 'rerun', ttlMs: 500 } as const

describe('a trigger that was accepted', () => {
  test.each([MERGE, NEWEST])('survives that the store is away just as its run has its turn', async options => {
    const { world } = use
    const [l, a] = [world.client(), world.client({ callTimeoutMs: 1_000 })]
    const runs = new Runs({ ...options, ttlMs: 1_000 })
    const live = await runs.live(l)
    const second = await runs.in('a', a).trigger(args('T'))
    // Nothing that its client sends from now on arrives, for 1.5 s.
    let away = false
    a.link.fate = method => {
      if (method === 'begin') away = true
      return away ? 'drop' : 'pass'
    }
    live.end()
    await world.clock.advance(1_500)
    expect(away).toBe(true)
    a.link.fate = 'pass'
    const result = watch(second.result())
    await world.clock.advance(10_000)
    expect(result.value).toBe('T')
    expect(runs.all).toEqual(['live: live', 'a: T'])
  })

  test.each([MERGE, NEWEST])('survives an outage of 25 seconds while it waits', async options => {
    const { world } = use
    const [l, a] = [world.client(), world.client({ callTimeoutMs: 1_000 })]
    const runs = new Runs({ ...options, ttlMs: 60_000 })
    const live = await runs.live(l)
    const second = await runs.in('a', a).trigger(args('T'))
    a.link.fate = 'drop'
    await world.clock.advance(20_000)
    live.end()
    await world.clock.advance(5_000)
    a.link.fate = 'pass'
    const result = watch(second.result())
    await world.clock.advance(15_000)
    expect(result.value).toBe('T')
    expect(runs.all).toEqual(['live: live', 'a: T'])
  })

  test.each([MERGE, NEWEST])(
    'ends with an error and an event after a longer one, also when nobody awaits it',
    async options => {
      const { world } = use
      const [l, a] = [world.client(), world.client({ callTimeoutMs: 1_000 })]
      const failures: JobFailure[] = []
      a.solo.on('jobFailed', failure => failures.push(failure))
      const runs = new Runs({ ...options, ttlMs: 60_000 })
      const live = await runs.live(l)
      const job = runs.in('a', a)
      const second = await job.trigger(args('T'))
      a.link.fate = 'drop'
      await world.clock.advance(45_000)
      expect(failures).toMatchObject([{ job: 'j', key: job.key(args()), error: { code: 'BACKEND_UNAVAILABLE' } }])
      const result = watch(second.result())
      await world.clock.flush()
      expect(result.error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
      a.link.fate = 'pass'
      live.end()
      await world.clock.advance(20_000)
      expect(runs.all).toEqual(['live: live'])
    },
  )

  test('and is covered by a run elsewhere ends so, too', async () => {
    const { world } = use
    const [l, a, b] = [world.client(), world.client(), world.client({ callTimeoutMs: 1_000 })]
    const failures: JobFailure[] = []
    b.solo.on('jobFailed', failure => failures.push(failure))
    const runs = new Runs({ ...MERGE, ttlMs: 60_000 })
    const live = await runs.live(l)
    await runs.in('a', a).trigger(args('A'))
    const covered = await runs.in('b', b).trigger(args('B'))
    b.link.fate = 'drop'
    await world.clock.advance(45_000)
    expect(failures).toMatchObject([{ error: { code: 'BACKEND_UNAVAILABLE' } }])
    const result = watch(covered.result())
    await world.clock.flush()
    expect(result.error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    live.end()
    await world.clock.advance(1_000)
    expect(runs.all).toEqual(['live: live', 'a: A B'])
  })

  test('settles with CLOSED when its client is closed, wherever its run is', async () => {
    const { world } = use
    const [l, a, b] = [world.client(), world.client(), world.client()]
    const merging = new Runs(MERGE)
    const live = await merging.live(l)
    const outcomes = [await merging.in('a', a).trigger(args('A')), await merging.in('b', b).trigger(args('B'))]
    const period = { mode: 'untilExpired', expiryMs: 60_000, onDuplicate: 'replace' } as const
    const periods = [l, a, b].map(({ solo }) => solo.job('period', period, () => new Promise<never>(() => {})))
    await periods[0]?.trigger()
    for (const job of [periods[1], periods[1], periods[2]]) outcomes.push((await job?.trigger()) as never)
    const results = outcomes.map(outcome => watch(outcome.result()))
    const closing = watch(Promise.all([a.solo.close(), b.solo.close()]))
    await world.clock.advance(2_000)
    expect(closing.settled).toBe(true)
    expect(results.map(({ error }) => (error as SoloistError | undefined)?.code)).toEqual(Array(5).fill('CLOSED'))
    live.end()
    await world.clock.advance(1_000)
    expect(merging.all).toEqual(['live: live'])
  })
})

describe('the pending run dies with its process', () => {
  test('merge: each trigger of another process is in exactly one run, in order', async () => {
    const { world } = use
    const [l, a, b, c] = [world.client(), world.client(), world.client(), world.client()]
    const runs = new Runs({ ...MERGE, ttlMs: 60_000 })
    const live = await runs.live(l)
    await runs.in('b', b).trigger(args('X'))
    const job = runs.in('a', a)
    const outcomes = [await job.trigger(args('T1')), await job.trigger(args('T2'))]
    outcomes.push(...(await Promise.all(['T3', 'T4', 'T5'].map(seq => job.trigger(args(seq))))))
    const other = await runs.in('c', c).trigger(args('U'))
    b.link.fate = 'drop'
    await world.clock.advance(1_000)
    live.end()
    await world.clock.advance(70_000)
    const results = [...outcomes, other].map(outcome => watch(outcome.result()))
    await world.clock.advance(10_000)
    expect(results.every(({ value }) => value !== undefined)).toBe(true)
    const words = runs.all.slice(1).flatMap(run => run.split(': ')[1]?.split(' ') ?? [])
    expect(words.filter(word => word.startsWith('T'))).toEqual(['T1', 'T2', 'T3', 'T4', 'T5'])
    expect(words.filter(word => word === 'U')).toEqual(['U'])
    for (const [i, { value }] of results.entries()) {
      expect(value).toContain(i < 5 ? `T${i + 1}` : 'U')
    }
  })

  test('without merge: those that it took the place of are covered by a run that starts after them, with the newest of theirs', async () => {
    const { world } = use
    const [l, a, b] = [world.client(), world.client(), world.client()]
    const runs = new Runs({ ...NEWEST, ttlMs: 60_000 })
    const live = await runs.live(l)
    const job = runs.in('a', a)
    const outcomes = [await job.trigger(args('T1')), await job.trigger(args('T2'))]
    await runs.in('b', b).trigger(args('X'))
    b.link.fate = 'drop'
    live.end()
    await world.clock.advance(70_000)
    const results = outcomes.map(outcome => watch(outcome.result()))
    await world.clock.advance(10_000)
    expect(results.map(({ value }) => value)).toEqual(['T2', 'T2'])
    expect(runs.all).toEqual(['live: live', 'a: T2'])
  })

  test('newer triggers are not put behind those that start anew', async () => {
    const { world } = use
    const [l, a, b, c] = [world.client(), world.client(), world.client(), world.client()]
    const runs = new Runs({ ...NEWEST, ttlMs: 4_000 })
    const live = await runs.live(l)
    const older = await runs.in('a', a).trigger(args('T1'))
    await runs.in('b', b).trigger(args('X'))
    b.link.fate = 'drop'
    // Its client was silent for so long that the pending run is none any more; others do not know it yet.
    await world.clock.advance(12_500)
    const newest = await runs.in('c', c).trigger(args('Y'))
    await world.clock.advance(5_000)
    live.end()
    const results = [older, newest].map(outcome => watch(outcome.result()))
    await world.clock.advance(10_000)
    expect(results.map(({ value }) => value)).toEqual(['Y', 'Y'])
    expect(runs.all).toEqual(['live: live', 'c: Y'])
  })
})

describe('a process is paused', () => {
  test('for longer than its pending run is known: nobody waits for itself, and all settle', async () => {
    const { world } = use
    const [l, a, b] = [world.client(), world.client(), world.client()]
    const runs = new Runs({ mode: 'untilExpired', expiryMs: 40_000, onDuplicate: 'rerun', ttlMs: 500 })
    await runs.in('live', l)(args('first'))
    const first = await runs.in('a', a).trigger(args('T1'))
    const taker = await runs.in('b', b).trigger(args('X'))
    b.link.fate = { arrivesAfterMs: 15_000 }
    await world.clock.advance(14_900)
    b.link.fate = 'pass'
    const results = [first, taker].map(outcome => watch(outcome.result()))
    await world.clock.advance(100_000)
    expect(results.map(({ value }) => value)).not.toContain(undefined)
    expect(runs.all[0]).toBe('live: first')
    expect(runs.all.length).toBeLessThanOrEqual(3)
  })

  test('and a newer run takes its place and ends meanwhile: later triggers have a run after them', async () => {
    for (const options of [MERGE, NEWEST]) {
      const { world } = use
      const [l, b, c, d] = [world.client(), world.client({ callTimeoutMs: 20_000 }), world.client(), world.client()]
      const runs = new Runs(options)
      const live = await runs.live(l)
      const asleep = await runs.in('b', b).trigger(args('B'))
      b.link.fate = { answersAfterMs: 6_500 }
      b.link.onPush = (event, deliver) => b.link.later(6_500, () => deliver(event))
      live.end()
      await world.clock.advance(100)
      const newer = await runs.in('c', c).trigger(args('C'))
      await world.clock.advance(5_600)
      const again = await runs.live(l)
      const before = runs.seen.length
      const last = await runs.in('d', d).trigger(args('D'))
      await world.clock.advance(2_000)
      again.end()
      b.link.fate = 'pass'
      b.link.onPush = (event, deliver) => deliver(event)
      await world.clock.advance(10_000)
      const results = [asleep, newer, last].map(outcome => watch(outcome.result()))
      await world.clock.advance(10_000)
      expect(results.map(({ value }) => value)).not.toContain(undefined)
      expect(results[1]?.value).toContain('C')
      // The one that D is covered by began after it.
      const covering = runs.seen.findIndex(({ seqs }, i) => i >= before && seqs === results[2]?.value)
      expect(covering).toBeGreaterThanOrEqual(before)
      const words = runs.seen.flatMap(({ seqs }) => seqs.split(' '))
      if (options === MERGE) for (const word of ['B', 'C', 'D']) expect(words.filter(w => w === word)).toEqual([word])
    }
  })
})

describe('a run dies in its period', () => {
  test.each(['join', 'reject', 'skip', 'replace', 'rerun', 'delay'] as const)(
    '%s: the next trigger takes its place, and is told so',
    async onDuplicate => {
      const { world } = use
      const [l, a, b] = [world.client(), world.client(), world.client()]
      const runs = new Runs({ mode: 'untilExpired', expiryMs: 600_000, ttlMs: 1_000, onDuplicate })
      await runs.live(l)
      const [dead] = world.owners(world.inUse().find(name => !name.endsWith(':run')) as string)
      l.link.fate = 'drop'
      await world.clock.advance(1_500)
      const outcomes = await Promise.all(
        ['A', 'B'].map(seq =>
          runs
            .in('a', a)
            .trigger(args(seq))
            .catch(() => null),
        ),
      )
      expect(outcomes[0]).toMatchObject({ status: 'recovered', owner: dead, state: 'finished' })
      expect(await outcomes[0]?.result()).toBe('A')
      expect(runs.all).toContain('a: A')
      // The period is that of the new run.
      const gate = world.inUse().find(name => !name.endsWith(':run')) as string
      expect(world.owners(gate)).toEqual([outcomes[0]?.id])
      if (onDuplicate === 'join') {
        const joined = await runs.in('b', b).trigger(args('C'))
        expect(joined).toMatchObject({ status: 'duplicate', state: 'finished' })
        expect(await joined.result()).toBe('A')
      }
      await world.clock.advance(5_000)
    },
  )
})

describe('no handler is called whose lease is known to be lost', () => {
  test.each([
    ['while it waits to be asked to stop', { onDuplicate: 'replace', onRunning: 'stop', ttlMs: 500 } as const],
    ['while it begins', NEWEST],
  ])('%s', async (what, options) => {
    const { world } = use
    const [l, a, b] = [world.client(), world.client(), world.client()]
    const runs = new Runs(options)
    const live = what === 'while it begins' ? await runs.live(l) : null
    // Its client can do nothing for 1.5 s from the moment on that its run has the lock.
    const slow = { answersAfterMs: 1_500 } as const
    if (live === null) a.link.fate = (method, step) => (slows(method, step) ? slow : 'pass')
    else a.link.fate = method => (method === 'begin' ? slow : method === 'renew' ? 'refuse' : 'pass')
    const outcome = watch(runs.in('a', a).trigger(args('A')))
    await world.clock.flush()
    live?.end()
    await world.clock.advance(900)
    a.link.fate = 'pass'
    const other = watch(runs.in('b', b).trigger(args('B')))
    await world.clock.advance(20_000)
    const results = [outcome.value, other.value].map(each => watch(each?.result() as Promise<string>))
    await world.clock.advance(20_000)
    for (const { value, error } of results) expect(value ?? error).toBeDefined()
    expect(runs.seen.every(({ run }) => run.signal.reason?.code !== 'LEASE_LOST')).toBe(true)
    expect(results[0]?.value).toMatch(/A|B/)
  })

  test('nor before a further attempt', async () => {
    const { world } = use
    const { solo, link } = world.client()
    let calls = 0
    const job = solo.job('j', { attempts: 3, backoffMs: 1_000, ttlMs: 500 }, () => {
      calls += 1
      throw new Error('once more')
    })
    link.fate = method => (method === 'renew' ? 'drop' : 'pass')
    const result = watch(job())
    await world.clock.advance(10_000)
    expect(result.error).toMatchObject({ message: 'once more' })
    expect(calls).toBe(1)
  })
})

function slows(method: string, step: unknown): boolean {
  const name = (step as { claim?: { name?: string } } | null)?.claim?.name ?? ''
  return method === 'renew' || (method === 'acquire' && name.endsWith(':stop'))
}

test('every rejection is a SoloistError, apart from what the handler threw here', async () => {
  const { world } = use
  const { solo, link } = world.client({ callTimeoutMs: 100 })
  const errors: unknown[] = []
  const note = (error: unknown) => errors.push(error)
  const decide = () => {
    throw new TypeError('of the user')
  }
  const busy = solo.job('busy', { onDuplicate: decide, ttlMs: 1_000 }, () => new Promise<never>(() => {}))
  await busy.trigger()
  await busy.trigger().catch(note)
  await busy(undefined, { timeoutMs: 0 }).catch(note)
  await busy(undefined, { signal: AbortSignal.abort(new Error('of the user')) }).catch(note)
  link.fate = 'refuse'
  await solo
    .job('refused', () => 1)
    .trigger()
    .catch(note)
  link.fate = 'throw'
  await solo
    .job('throws', () => 1)()
    .catch(note)
  link.fate = 'pass'
  const closing = solo.close()
  await solo
    .job('closed', () => 1)
    .trigger()
    .catch(note)
  await world.clock.advance(2_000)
  await closing
  expect(errors.map(error => error instanceof SoloistError && error.code)).toEqual([
    'INVALID_ARGUMENT',
    'INVALID_ARGUMENT',
    'ABORTED',
    'BACKEND_UNAVAILABLE',
    'BACKEND_UNAVAILABLE',
    'CLOSED',
  ])
})
