import { parseJobMeta } from 'soloist'
import { describe, expect, test } from 'vitest'
import type { Fate } from '../support/scripted-backend.js'
import { useWorld, watch } from '../support/world.js'
import { deferred } from './support.js'
import { args, merge, Runs } from './world.js'

const use = useWorld()
const MERGE = { onDuplicate: 'rerun', merge, ttlMs: 5_000 } as const
const NEWEST = { onDuplicate: 'rerun', ttlMs: 5_000 } as const

const FATES: readonly [string, Fate][] = [
  ['lost', 'lose'],
  ['repeated', 'twice'],
  ['late', { answersAfterMs: 900 }],
  ['late, by a request that was', { arrivesAfterMs: 900 }],
  ['lost for this step alone', { step: 'lose' }],
  ['to be asked for again', { step: 'again' }],
  ['refused once', 'refuse'],
  ['an exception once', 'throw'],
]

describe.each(FATES)('an answer that is %s', (_, fate) => {
  test('to a trigger that adds to the pending run: its arguments are there, once', async () => {
    const { world } = use
    const [l, a, b] = [world.client(), world.client(), world.client()]
    const runs = new Runs(MERGE)
    const live = await runs.live(l)
    const first = await runs.in('a', a).trigger(args('T1'))
    b.link.next('trigger', fate)
    const second = watch(runs.in('b', b).trigger(args('X')))
    await world.clock.advance(1_000)
    expect(second.value).toMatchObject({ status: 'deferred' })
    live.end()
    const results = [first, second.value].map(outcome => watch(outcome?.result() as Promise<string>))
    await world.clock.advance(1_000)
    expect(results.map(({ value }) => value)).toEqual(['T1 X', 'T1 X'])
    expect(runs.all).toEqual(['live: live', 'a: T1 X'])
    expect(world.inUse()).toEqual([])
  })

  test('to a trigger that takes the place of the pending run: there is one run, and it has the newest', async () => {
    const { world } = use
    const [l, a, b] = [world.client(), world.client(), world.client()]
    const runs = new Runs(NEWEST)
    const live = await runs.live(l)
    const first = await runs.in('a', a).trigger(args('T1'))
    b.link.next('trigger', fate)
    const second = watch(runs.in('b', b).trigger(args('X')))
    await world.clock.advance(1_000)
    live.end()
    const results = [first, second.value].map(outcome => watch(outcome?.result() as Promise<string>))
    await world.clock.advance(1_000)
    expect(results.map(({ value }) => value)).toEqual(['X', 'X'])
    expect(runs.all).toEqual(['live: live', 'b: X'])
    expect(world.inUse()).toEqual([])
  })

  test('to the beginning of a run: it begins once, with everything', async () => {
    const { world } = use
    const [l, a, b] = [world.client(), world.client(), world.client()]
    const runs = new Runs(MERGE)
    const live = await runs.live(l)
    const outcomes = [await runs.in('a', a).trigger(args('T1')), await runs.in('b', b).trigger(args('X'))]
    a.link.next('begin', fate)
    live.end()
    const results = outcomes.map(outcome => watch(outcome.result()))
    await world.clock.advance(3_000)
    expect(results.map(({ value }) => value)).toEqual(['T1 X', 'T1 X'])
    expect(runs.all).toEqual(['live: live', 'a: T1 X'])
    expect(world.inUse()).toEqual([])
  })

  test('to the release of a run: it is a success, for all', async () => {
    const { world } = use
    const [l, a] = [world.client(), world.client()]
    const runs = new Runs(NEWEST)
    const live = await runs.live(l)
    l.link.next('release', fate)
    const again = new Runs({})
    const joined = await again.in('a', a).trigger(args('T1'))
    live.end()
    const result = watch(joined.result())
    await world.clock.advance(3_000)
    expect(result.value).toBe('live')
    expect(l.solo.jobs.counts('j')).toMatchObject({ started: 1, lapsed: 0 })
  })
})

describe.each(FATES)('with an option, an answer that is %s', (_, fate) => {
  const KEY = { uniqueOn: () => 1, ttlMs: 5_000 } as const

  test.each(['trigger', 'release'] as const)('limit, to a %s: never more at once, and all run', async step => {
    const { world } = use
    const clients = [world.client(), world.client(), world.client(), world.client()]
    const ends = clients.map(() => deferred())
    const ran: number[] = []
    let [live, most] = [0, 0]
    const results = []
    for (const [n, { solo, link }] of clients.entries()) {
      if (step === 'trigger' || n === 0) link.next(step, fate)
      const job = solo.job('limit', { ...KEY, limit: 2, onDuplicate: 'delay' }, async (_: undefined) => {
        ran.push(n)
        live += 1
        most = Math.max(most, live)
        await ends[n]?.promise
        live -= 1
        return n
      })
      results.push(watch(job()))
      await world.clock.advance(1_000)
    }
    expect(ran).toEqual([0, 1])
    for (const end of ends) {
      end.resolve()
      await world.clock.advance(3_000)
    }
    expect(results.map(({ value }) => value)).toEqual([0, 1, 2, 3])
    expect([ran, most]).toEqual([[0, 1, 2, 3], 2])
    expect(world.inUse()).toEqual([])
  })

  test('debounce: one run, with what each brought, once', async () => {
    const { world } = use
    const [a, b] = [world.client(), world.client()]
    const runs = new Runs({ debounce: { waitMs: 5_000, maxWaitMs: 20_000 }, merge, ttlMs: 5_000 })
    const results = []
    for (const [i, client] of [a, b, a, b].entries()) {
      client.link.next('trigger', fate)
      results.push(watch(runs.in('x', client)(args(`T${i}`))))
      await world.clock.advance(1_000)
    }
    expect(runs.all).toEqual([])
    await world.clock.advance(15_000)
    expect(results.map(({ value }) => value)).toEqual(Array(4).fill('T0 T1 T2 T3'))
    expect(runs.all).toEqual(['x: T0 T1 T2 T3'])
    expect(world.inUse()).toEqual([])
  })

  test('maxRunMs, to the release of a run whose time is up: its key is free', async () => {
    const { world } = use
    const [a, b] = [world.client(), world.client()]
    a.link.next('release', fate)
    const hangs = watch(a.solo.job('hangs', { ...KEY, maxRunMs: 1_000 }, () => new Promise<string>(() => {}))())
    await world.clock.advance(10)
    const next = watch(b.solo.job('hangs', { ...KEY, onDuplicate: 'rerun' }, () => 'next')())
    await world.clock.advance(5_000)
    expect(hangs.error).toMatchObject({ code: 'RUN_TIMEOUT' })
    expect(next.value).toBe('next')
    expect(world.inUse()).toEqual([])
  })

  test('releaseOnFailure, to the release of a run that failed: its period is over', async () => {
    const { world } = use
    const [a, b] = [world.client(), world.client()]
    const period = { ...KEY, mode: 'untilExpired', expiryMs: 600_000, releaseOnFailure: true } as const
    a.link.next('release', fate)
    const failing = () => {
      throw new RangeError('as it should')
    }
    const failed = watch(a.solo.job('period', period, failing)())
    await world.clock.advance(5_000)
    expect(failed.error).toMatchObject({ name: 'RangeError' })
    const again = watch(b.solo.job('period', period, () => 'done').trigger())
    await world.clock.advance(1_000)
    expect(again.value).toMatchObject({ status: 'started' })
  })

  test('describe, to a trigger: what waits is shown with its own', async () => {
    const { world } = use
    const [a, b] = [world.client(), world.client()]
    const options = { ...KEY, onDuplicate: 'delay', describe: (n: number) => `value ${n}` } as const
    const end = deferred()
    const [here, there] = [a, b].map(({ solo }) => solo.job('shown', options, (_: number) => end.promise))
    a.link.next('trigger', fate)
    const first = watch(here?.(1) as Promise<void>)
    await world.clock.advance(1_000)
    b.link.next('trigger', fate)
    const second = watch(there?.(2) as Promise<void>)
    await world.clock.advance(1_000)
    const state = await a.solo.jobs.inspect(`job:shown:${here?.key(1)}`)
    const shown = [state?.holders[0], state?.waiters[0]].map(claim => parseJobMeta(claim?.meta ?? null)?.description)
    expect(shown).toEqual(['value 1', 'value 2'])
    end.resolve()
    await world.clock.advance(3_000)
    expect([first.settled, second.settled]).toEqual([true, true])
    expect(world.inUse()).toEqual([])
  })
})

test('a run is displaced before its trigger is answered: both triggers are accepted, and covered by the newer run', async () => {
  for (const mode of ['untilAndWhileExecuting', 'untilExecuting', 'untilExecuted'] as const) {
    for (const onDuplicate of ['rerun', 'replace'] as const) {
      const { world } = use
      const [l, b, c] = [world.client(), world.client(), world.client()]
      const runs = new Runs({ mode, onDuplicate })
      const live = await runs.live(l)
      b.link.next('trigger', { answersAfterMs: 300 })
      const slow = watch(runs.in('b', b).trigger(args('B')))
      await world.clock.advance(100)
      const newer = await runs.in('c', c).trigger(args('C'))
      await world.clock.advance(300)
      expect(slow.error).toBeUndefined()
      live.end()
      const results = [slow.value, newer].map(outcome => watch(outcome?.result() as Promise<string>))
      await world.clock.advance(5_000)
      expect(results.map(({ value }) => value)).toEqual(['C', 'C'])
      expect(runs.all).toEqual(['live: live', 'c: C'])
      expect(world.inUse()).toEqual([])
    }
  }
})

test('the pushes to who was displaced are lost: its beat finds out, and does not bring it back', async () => {
  const { world } = use
  const [l, a, b] = [world.client(), world.client(), world.client()]
  const runs = new Runs({ ...NEWEST, ttlMs: 30_000 })
  const live = await runs.live(l)
  a.link.onPush = () => {}
  const first = await runs.in('a', a).trigger(args('T1'))
  const second = await runs.in('b', b).trigger(args('X'))
  await world.clock.advance(10_000)
  live.end()
  const results = [first, second].map(outcome => watch(outcome.result()))
  await world.clock.advance(10_000)
  expect(results.map(({ value }) => value)).toEqual(['X', 'X'])
  expect(runs.all).toEqual(['live: live', 'b: X'])
  expect(world.inUse()).toEqual([])
})

describe('a run that was alone until its end is a success', () => {
  test.each<[string, Fate, number]>([
    ['its release comes to the store when its lease has run out', { arrivesAfterMs: 700 }, 5_000],
    ['its release has no answer', 'drop', 300],
    ['its release is answered when its lease has run out', { answersAfterMs: 700 }, 5_000],
  ])('although %s', async (_, fate, callTimeoutMs) => {
    const { world } = use
    const a = world.client({ callTimeoutMs })
    const failed: unknown[] = []
    a.solo.on('jobFailed', failure => failed.push(failure))
    const job = a.solo.job('j', { ttlMs: 500 }, () => 'charged')
    a.link.next('release', fate, fate)
    const result = watch(job())
    await world.clock.advance(2_000)
    expect(result.value).toBe('charged')
    expect(failed).toEqual([])
    expect(job.counts()).toMatchObject({ started: 1, lapsed: 0 })
  })

  test('although nothing was left of its lease here, as long as the store says that it held the lock', async () => {
    const { world } = use
    const a = world.client()
    const job = a.solo.job('j', { ttlMs: 900 }, () => {
      // The event loop is blocked: the part of the lease that is not counted on is left, by the store's clock.
      world.clock.block(895)
      return 'charged'
    })
    const result = watch(job())
    await world.clock.advance(100)
    expect(result.value).toBe('charged')
  })

  test('but not when the lock was taken away', async () => {
    const { world } = use
    const a = world.client()
    const runs = new Runs(NEWEST)
    const live = await runs.live(a)
    const name = world.inUse()[0] as string
    const [owner] = world.owners(name)
    expect(await world.client().solo.unlock(name, { owner: owner as string })).toBe(true)
    live.end()
    await world.clock.advance(100)
    expect(a.solo.jobs.counts('j')).toMatchObject({ started: 1, lapsed: 1 })
  })
})

describe.each([
  ['with merge', MERGE],
  ['without', NEWEST],
  ['with replace', { onDuplicate: 'replace', ttlMs: 5_000 }],
] as const)('a pending run whose trigger has no answer when it is granted, %s', (_, options) => {
  /** What may happen to the trigger that is queued, and to its repetition. */
  const fates: readonly (readonly [string, readonly Fate[]])[] = [
    ['the answer comes late', [{ answersAfterMs: 900 }]],
    ['the answer is lost, and it is sent again late', ['lose', { arrivesAfterMs: 900 }]],
    ['the answer is lost for this step alone, and it is sent again late', [{ step: 'lose' }, { arrivesAfterMs: 900 }]],
  ]
  // A push that is lost leaves the grant to the repeated trigger.
  const pushes = [
    ['pushed', true],
    ['not pushed', false],
  ] as const
  test.each(fates.flatMap(([fate, steps]) => pushes.map(([push, arrives]) => [fate, push, steps, arrives] as const)))(
    '%s, and the grant is %s: it begins once, with what was left, and nobody runs beside it',
    async (...given) => {
      const [, , steps, arrives] = given
      const { world } = use
      const [l, a, b] = [world.client(), world.client(), world.client()]
      const runs = new Runs(options)
      const live = await runs.live(l)
      if (!arrives) a.link.onPush = () => {}
      a.link.next('trigger', ...steps)
      const first = watch(runs.in('a', a).trigger(args('T1')))
      await world.clock.advance(100)
      live.end()
      await world.clock.advance(100)
      const second = watch(runs.in('b', b).trigger(args('X')))
      await world.clock.advance(3_000)
      for (const { value } of [first, second]) expect(value).toMatchObject({ status: expect.any(String) })
      const results = [first.value, second.value].map(outcome => watch(outcome?.result() as Promise<string>))
      await world.clock.advance(10_000)
      for (const [i, seq] of ['T1', 'X'].entries()) expect(results[i]?.value).toContain(options === MERGE ? seq : '')
      // Each is in one run, or was displaced by a newer one.
      const after = runs.seen.slice(1)
      expect(after.flatMap(({ seqs }) => seqs.split(' ')).filter(seq => seq === 'X')).toEqual(['X'])
      expect(new Set(after.map(({ run }) => run.fence)).size).toBe(after.length)
      expect(world.inUse()).toEqual([])
    },
  )

  test.each(fates.flatMap(([fate, steps]) => pushes.map(([push, arrives]) => [fate, push, steps, arrives] as const)))(
    '%s, and the grant is %s: once it runs, nobody takes its place',
    async (...given) => {
      const [, , steps, arrives] = given
      const { world } = use
      const [l, a, b] = [world.client(), world.client(), world.client()]
      const runs = new Runs(options)
      const live = await runs.live(l)
      if (!arrives) a.link.onPush = () => {}
      a.link.next('trigger', ...steps)
      const first = watch(runs.in('a', a).trigger(args('T1')))
      await world.clock.advance(100)
      const gate = deferred()
      runs.ends[1] = gate.promise
      live.end()
      // Where nothing tells of the grant, the next beat finds it.
      await world.clock.advance(4_900)
      expect(runs.all).toEqual(['live: live', 'a: T1'])
      const second = watch(runs.in('b', b).trigger(args('X')))
      await world.clock.advance(1_000)
      runs.seen[1]?.run.assertValid()
      expect(runs.seen).toHaveLength(2)
      gate.resolve()
      const results = [first.value, second.value].map(outcome => watch(outcome?.result() as Promise<string>))
      await world.clock.advance(1_000)
      expect(results.map(({ value }) => value)).toEqual(['T1', 'X'])
      expect(runs.all).toEqual(['live: live', 'a: T1', 'b: X'])
      expect(world.inUse()).toEqual([])
    },
  )
})
