// Guards invariants J1, J2 and J7 of docs/guarantees.md.
import { describe, test } from 'vitest'
import { Crew, type Failure, type Triggered } from './crew.js'

const KEYED = { uniqueOn: ['key'] }
/** Where a process is killed: others need not wait long, and a busy machine's pauses are shorter still. */
const SHORT = { ...KEYED, ttlMs: 5_000 }

describe.each(['redis', 'sqlite'] as const)('processes that share %s', kind => {
  test.concurrent('a second process joins the run of the first, and gets its result or its error', async ({
    expect,
  }) => {
    await using crew = new Crew(kind)
    const [one, two] = [await crew.worker(KEYED), await crew.worker(KEYED)]
    const first = await one.trigger({ key: 1, n: 1 })
    const failing = await one.trigger({ key: 2, fail: 'no such row' })
    await crew.untilStarted(2)
    const joined = await two.trigger({ key: 1, n: 2 })
    const alsoFailing = await two.trigger({ key: 2 })
    expect(joined.outcome).toMatchObject({ status: 'duplicate', id: first.outcome.id, state: 'running' })
    await crew.open()
    expect(await Promise.all([first.result(), joined.result()])).toEqual([
      { key: 1, n: 1 },
      { key: 1, n: 1 },
    ])
    const errors = await Promise.all([failing, alsoFailing].map(t => t.result().catch((e: Failure) => e)))
    expect(errors).toEqual([
      { name: 'RangeError', message: 'no such row' },
      { name: 'JobFailedError', code: 'JOB_FAILED', message: 'no such row', cause: 'RangeError' },
    ])
    expect(crew.started.map(({ worker }) => worker)).toEqual([one, one])
  })

  test.concurrent('killed during the run: one of those who joined runs it again, and the others join that', async ({
    expect,
  }) => {
    await using crew = new Crew(kind)
    const [one, ...others] = await Promise.all([1, 2, 3].map(() => crew.worker(SHORT)))
    await one?.trigger({ key: 1, n: 1 })
    await crew.untilStarted(1)
    const joined = await Promise.all([...others, ...others].map((worker, n) => worker.trigger({ key: 1, n: n + 2 })))
    expect(joined.map(({ outcome }) => [outcome.status, outcome.id])).toEqual(
      Array(4).fill(['duplicate', crew.started[0]?.id]),
    )
    const asked = () => Promise.all(others.map(worker => worker.asked()))
    const before = await asked()
    await one?.kill()
    await crew.untilStarted(2)
    // Each process notices the death by a question of its own, and is told of the new run. That lasts until then.
    const noticed = async () =>
      (await asked()).every(({ sent, answered }, i) => sent === answered && sent > (before[i]?.sent as number))
    await expect.poll(noticed).toBe(true)
    await crew.open()
    const results = await Promise.all(joined.map(triggered => triggered.result()))
    const [dead, recovered] = crew.started
    expect(crew.started.length).toBe(2)
    expect(others).toContain(recovered?.worker)
    expect(recovered?.fence).toBeGreaterThan(dead?.fence as number)
    expect(results).toEqual(Array(4).fill(recovered?.args))
    const counts = await Promise.all(others.map(worker => worker.counts()))
    expect(counts.map(({ recovered }) => recovered).sort()).toEqual([0, 1])
  })

  test.concurrent('rerun: exactly one more run, of the newest arguments, whoever triggered them', async ({
    expect,
  }) => {
    await using crew = new Crew(kind)
    const options = { ...KEYED, onDuplicate: 'rerun' }
    const workers = await Promise.all([1, 2, 3].map(() => crew.worker(options)))
    const first = await workers[0]?.trigger({ key: 1, n: 0 })
    await crew.untilStarted(1)
    const later: Triggered[] = []
    for (let n = 1; n <= 5; n += 1) later.push((await workers[n % 3]?.trigger({ key: 1, n })) as Triggered)
    await crew.open()
    expect(await first?.result()).toEqual({ key: 1, n: 0 })
    expect(await Promise.all(later.map(t => t.result()))).toEqual(Array(5).fill({ key: 1, n: 5 }))
    expect(crew.started.map(({ worker, args }) => [worker, args.n])).toEqual([
      [workers[0], 0],
      [workers[2], 5],
    ])
    expect(later.map(({ outcome }) => [outcome.status, outcome.id])).toEqual(
      Array(5).fill(['deferred', first?.outcome.id]),
    )
  })

  test.concurrent('merge: killed while its run is pending, what it had taken over is run by who is left', async ({
    expect,
  }) => {
    await using crew = new Crew(kind)
    const options = { ...SHORT, onDuplicate: 'rerun' }
    const [one, two, three] = await Promise.all([1, 2, 3].map(() => crew.worker(options, true)))
    await one?.trigger({ key: 1, n: [0] })
    await crew.untilStarted(1)
    const second = await two?.trigger({ key: 1, n: [1] })
    const third = await one?.trigger({ key: 1, n: [2] })
    await three?.trigger({ key: 1, n: [3] })
    await three?.kill()
    await crew.open()
    const covered = (await Promise.all([second?.result(), third?.result()])) as { n: number[] }[]
    for (const [i, { n }] of covered.entries()) expect(n).toContain(i + 1)
    expect(crew.started.slice(1).every(({ worker }) => worker !== three)).toBe(true)
    expect(crew.started.length).toBeLessThanOrEqual(3)
  })
})
