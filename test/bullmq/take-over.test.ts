import { jobLockNaming, type Soloist } from 'soloist'
import type { SingletonJobOptions } from 'soloist/bullmq'
import { expect, test } from 'vitest'
import { startProxy } from '../support/proxy.js'
import {
  type Bench,
  connectionTo,
  type Data,
  haltAfterTake,
  type Merged,
  merging,
  numbers,
  type TestJob,
  type TestQueue,
  until,
  untilIdle,
  useBench,
  valuesOf,
} from './support.js'

// Where lock and job are two steps: who takes over the claim of a job that is late is held up before each of its steps, and
// meanwhile the job comes, is taken up, and others leave their data with its run.

let bench: Bench
useBench('must not fail', fresh => {
  bench = fresh
})

const GRACE_MS = 150
const data = (value: number) => ({ key: 1, value })

const STEPS = ['trigger', 'inspect', 'takeBack', 'take', 'queue', 'renew', 'release'] as const

/** A client of the locks that is held up before or after its step of this number. */
function heldUp(
  when: 'before' | 'after',
  at: number,
): { readonly solo: Soloist; readonly halted: Promise<void>; readonly letOn: () => void } {
  const solo = bench.client()
  let [letOn, tell] = [() => {}, () => {}]
  const gate = new Promise<void>(resolve => {
    letOn = resolve
  })
  const halted = new Promise<void>(resolve => {
    tell = resolve
  })
  let steps = 0
  for (const step of STEPS) {
    const right = solo.jobs[step].bind(solo.jobs) as (...args: unknown[]) => Promise<unknown>
    const late = async (...args: unknown[]) => {
      steps += 1
      const halts = steps === at
      const told = when === 'before' && halts ? null : right(...args)
      await told
      if (halts) {
        tell()
        await gate
      }
      return await (told ?? right(...args))
    }
    Object.assign(solo.jobs, { [step]: late })
  }
  return { solo, halted, letOn }
}

/** A client of the locks whose step of this number is made once more: at once, or when it is told to. */
function twice(
  when: 'at once' | 'late',
  at: number,
): { readonly solo: Soloist; readonly again: () => Promise<unknown> } {
  const solo = bench.client()
  let steps = 0
  let again = async (): Promise<unknown> => null
  for (const step of STEPS) {
    const right = solo.jobs[step].bind(solo.jobs) as (...args: unknown[]) => Promise<unknown>
    const repeated = async (...args: unknown[]) => {
      steps += 1
      if (steps !== at) return await right(...args)
      const told = await right(...args)
      if (when === 'at once') return await right(...args)
      again = async () => await right(...args)
      return told
    }
    Object.assign(solo.jobs, { [step]: repeated })
  }
  return { solo, again: () => again() }
}

const lockOf = ({ prefix }: Bench) =>
  jobLockNaming<{ key: number }>('sync', { uniqueOn: ['key'] }, `${prefix}:work`)({ key: 1 }).trigger

/** How old all claims of a lock are. */
async function agesOf(lock: string): Promise<number[]> {
  const state = await bench.solo.jobs.inspect(lock)
  const now = state?.atMs ?? 0
  return [
    ...(state?.holders ?? []).map(({ acquiredAtMs }) => now - (acquiredAtMs ?? now)),
    ...(state?.waiters ?? []).map(({ waitingSinceMs }) => now - (waitingSinceMs ?? now)),
  ]
}

/** A producer that is held up between its claim and its job for longer than the grace time. */
async function lateProducer(job: SingletonJobOptions<Data>) {
  const solo = bench.client()
  const letOn = haltAfterTake(solo)
  const lock = lockOf(bench)
  const claims = () => agesOf(lock)
  const before = (await claims()).length
  const adding = queueOf(solo, job).add('sync', data(0))
  await until(async () => (await claims()).length > before && (await claims()).every(ageMs => ageMs > GRACE_MS))
  return { adding, letOn, lock }
}

/** Workers whose runs wait until they are let go. */
class Runs {
  readonly values: number[][] = []
  mostAtOnce = 0
  letGo: () => void = () => {}
  #running = 0
  readonly #gate = new Promise<void>(resolve => {
    this.letGo = resolve
  })

  readonly run = async (job: TestJob): Promise<number> => {
    this.#running += 1
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#running)
    this.values.push([...valuesOf(job.data as Merged)])
    await this.#gate
    this.#running -= 1
    return 0
  }

  work(job: SingletonJobOptions<Data> = merging): void {
    const singleton = { solo: bench.client(), graceMs: GRACE_MS, jobs: { sync: job } as never }
    bench.worker(this.run, { singleton, stalledInterval: 200 })
    bench.closeLater(async () => this.letGo())
  }
}

const counts = async (queue: TestQueue) => await queue.getJobCounts('active', 'delayed', 'waiting')

const queueOf = (solo: Soloist, job: SingletonJobOptions<Data>) => bench.queue(job, { solo, graceMs: GRACE_MS })
/** Who takes over, and how many steps that has at most. */
const TAKERS = {
  'a trigger that adds': {
    steps: 8,
    take: (solo: Soloist, more: object) => queueOf(solo, { ...merging, ...more }).addUnique('sync', data(1)),
  },
  'a trigger that joins': {
    steps: 6,
    take: (solo: Soloist, more: object) => queueOf(solo, more).addUnique('sync', data(1)),
  },
  'a sweep': { steps: 4, take: (solo: Soloist, more: object) => queueOf(solo, { ...merging, ...more }).sweep() },
} as const
type Taker = keyof typeof TAKERS

/** Where the claim of the late job is. */
const PLACES = ['alone', 'behind another', 'one of two'] as const

const cells = (Object.keys(TAKERS) as Taker[]).flatMap(taker =>
  PLACES.flatMap(place =>
    numbers(TAKERS[taker].steps, 1).flatMap(at =>
      (['before', 'after'] as const).flatMap(when =>
        (['queued', 'taken up'] as const)
          .map(late => [taker, when, at, late, place] as const)
          .filter(([, , , late]) => place === 'alone' || late === 'taken up'),
      ),
    ),
  ),
)

test.each(cells)(
  '%s is held up %s its step %i, and the job comes and is %s: %s',
  async (taker, when, at, late, place) => {
    const limit = place === 'one of two' ? { limit: 2 } : {}
    const mine = { ...merging, ...limit }
    const before = queueOf(bench.solo, { onDuplicate: 'delay' })
    const first = place === 'behind another' ? await before.add('sync', data(9), { delay: 3_600_000 }) : null
    const { adding, letOn, lock } = await lateProducer(mine)
    const { solo, halted, letOn: letTakerOn } = heldUp(when, at)
    bench.closeLater(async () => letTakerOn())
    const taking = TAKERS[taker].take(solo, limit)
    // It may have fewer steps.
    await Promise.race([halted, taking])
    letOn()
    await adding
    const queue = queueOf(bench.solo, mine)
    const runs = new Runs()
    if (late === 'taken up') {
      runs.work(mine)
      // It runs, or waits for its turn.
      await until(async () => runs.values.length > 0 || ((await counts(queue)).delayed ?? 0) > (first === null ? 0 : 1))
    }
    await queue.addUnique('sync', data(2))
    letTakerOn()
    await taking
    if (late === 'queued') runs.work(mine)
    await first?.remove()
    await until(async () => runs.values.length > 0 && ((await counts(queue)).waiting ?? 0) === 0)
    runs.letGo()
    await untilIdle(bench, queue)
    const told = runs.values.flat().toSorted()
    const joined = taker === 'a trigger that adds' ? [0, 1, 2] : taker === 'a sweep' ? [0, 2] : null
    // A trigger that meets the late job has no run of its own.
    if (joined === null) expect(told.filter(value => value !== 1)).toEqual([0, 2])
    else expect(told).toEqual(joined)
    expect(runs.mostAtOnce).toBeLessThanOrEqual(limit.limit ?? 1)
    expect((await queue.getJobCounts()).failed).toBe(0)
    expect(await bench.solo.jobs.inspect(lock)).toBeNull()
  },
)

/** The steps of taking over alone: what a trigger does before and after it is in `answers-apart.test.ts`. */
const PARTS = { 'a trigger that adds': [3, 7], 'a trigger that joins': [2, 5], 'a sweep': [1, 4] } as const
const repeats = (Object.keys(PARTS) as Taker[]).flatMap(taker =>
  PLACES.flatMap(place =>
    numbers(PARTS[taker][1] - PARTS[taker][0] + 1, PARTS[taker][0]).flatMap(at =>
      (['at once', 'late', 'at its end'] as const).map(when => [taker, at, when, place] as const),
    ),
  ),
)

test.each(repeats)('%s makes its step %i once more, %s, and the job comes: %s', async (taker, at, when, place) => {
  const limit = place === 'one of two' ? { limit: 2 } : {}
  const mine = { ...merging, ...limit }
  const before = queueOf(bench.solo, { onDuplicate: 'delay' })
  const first = place === 'behind another' ? await before.add('sync', data(9), { delay: 3_600_000 }) : null
  const { adding, letOn, lock } = await lateProducer(mine)
  const { solo, again } = twice(when === 'at once' ? when : 'late', at)
  await TAKERS[taker].take(solo, limit)
  letOn()
  await adding
  const queue = queueOf(bench.solo, mine)
  const runs = new Runs()
  runs.work(mine)
  await until(async () => runs.values.length > 0 || ((await counts(queue)).delayed ?? 0) > (first === null ? 0 : 1))
  const { outcome } = await queue.addUnique('sync', data(2))
  if (when === 'late') await again()
  // The late job runs: the next one must not have got its lock.
  const holders = (await bench.solo.jobs.inspect(lock))?.holders ?? []
  if (place === 'alone') expect(holders.filter(({ owner }) => owner.endsWith(outcome.id))).toEqual([])
  runs.letGo()
  await first?.remove()
  const idle = async () => Object.values(await counts(queue)).every(count => count === 0)
  await until(idle)
  if (when === 'at its end') await again()
  // A claim that was made for nobody goes when its time is up, once somebody looks.
  await until(async () => (await queue.sweep()) >= 0 && (await bench.solo.jobs.inspect(lock)) === null)
  await until(idle)
  const told = runs.values.flat().toSorted()
  expect(told.filter(value => value === 0 || value === 2)).toEqual([0, 2])
  if (taker === 'a trigger that adds') expect(told.filter(value => value === 1)).toEqual([1])
  expect(runs.mostAtOnce).toBeLessThanOrEqual(limit.limit ?? 1)
  expect((await queue.getJobCounts()).failed).toBe(0)
})

test.each(numbers(5, 1))(
  'two take over at once, of which one is held up before its step %i, and then the job comes',
  async at => {
    const { adding, letOn, lock } = await lateProducer(merging)
    const { solo, halted, letOn: letTakerOn } = heldUp('before', at)
    bench.closeLater(async () => letTakerOn())
    const taking = TAKERS['a trigger that joins'].take(solo, {})
    await Promise.race([halted, taking])
    const queue = queueOf(bench.solo, merging)
    await queue.addUnique('sync', data(2))
    letOn()
    await adding
    const runs = new Runs()
    runs.work()
    await until(async () => runs.values.length > 0 && (await counts(queue)).waiting === 0)
    letTakerOn()
    await taking
    await until(async () => (await counts(queue)).waiting === 0)
    runs.letGo()
    await untilIdle(bench, queue)
    expect(
      runs.values
        .flat()
        .filter(value => value !== 1)
        .toSorted(),
    ).toEqual([0, 2])
    expect(runs.mostAtOnce).toBe(1)
    expect(await bench.solo.jobs.inspect(lock)).toBeNull()
  },
)

/** What happens before the trigger hears of its claim. */
const BEFORE_IT_HEARS = [
  'others have its run',
  'others had it, and ended',
  'others had it, and its own comes and ends',
] as const

test.each(BEFORE_IT_HEARS)(
  'the claim is taken over of a trigger that hears nothing of it and is sent again, when %s: who relied on it is not lost',
  async when => {
    const proxy = await startProxy(connectionTo(bench.url).port)
    bench.closeLater(async () => {
      proxy.heal()
      await proxy.close()
    })
    const unheard = bench.client(proxy.url)
    // From now on the server knows the script.
    await unheard.jobs.release(lockOf(bench), 'nobody')
    const lost = proxy.dropReplyTo(words => words.some(word => word.startsWith('>x')), 'reset')
    const adding = queueOf(unheard, merging).addUnique('sync', data(0))
    await lost.hit
    proxy.blackhole()
    // It has left its data, and looks at nothing yet.
    const { solo, halted, letOn } = heldUp('after', 1)
    bench.closeLater(async () => letOn())
    const leaving = queueOf(solo, merging).addUnique('sync', data(1))
    await halted
    await until(async () => (await agesOf(lockOf(bench))).every(ageMs => ageMs > GRACE_MS))
    const queue = queueOf(bench.solo, merging)
    const runs = new Runs()
    expect((await queue.addUnique('sync', data(2))).outcome.status).toBe('recovered')
    if (when !== 'others have its run') {
      runs.letGo()
      runs.work()
      await untilIdle(bench, queue)
    }
    if (when === 'others had it, and ended') await queue.pause()
    proxy.heal()
    await adding
    if (when === 'others had it, and its own comes and ends') await untilIdle(bench, queue)
    letOn()
    const { outcome } = await leaving
    if (when === 'others have its run') runs.work()
    await queue.resume()
    runs.letGo()
    await untilIdle(bench, queue)
    expect(runs.values.flat().toSorted()).toEqual([0, 1, 2])
    expect(await queue.getJob(outcome.id)).toMatchObject({ returnvalue: 0 })
  },
)

test('a producer is not late where a job of a scheduler, or one that is retried, meets its claim', async () => {
  const queue = queueOf(bench.solo, {})
  const failed = await queue.add('sync', data(3), { attempts: 1 })
  const solo = bench.client()
  let fails = true
  const runs: number[] = []
  const run = async (job: TestJob) => {
    if (fails) throw new Error('this run')
    return runs.push(job.data.value)
  }
  const worker = bench.worker(run, { singleton: { solo, graceMs: 60_000 } })
  await until(async () => (await failed.getState()) === 'failed' && Object.keys(await bench.held()).length === 0)
  fails = false
  const late = bench.client()
  const letOn = haltAfterTake(late)
  const job = { onDuplicate: 'join' } as const
  const adding = bench.queue(job, { solo: late, graceMs: 60_000 }).add('sync', data(0))
  await until(async () => Object.keys(await bench.held()).length === 1)
  const held = await bench.held()
  const other = bench.queue(job, { solo: bench.solo, graceMs: 60_000 })
  const again = await other.getJob(failed.id as string)
  await expect(again?.retry()).rejects.toMatchObject({ code: 'DUPLICATE_JOB' })
  const dropped = new Promise(resolve => worker.singleton.once('duplicate', resolve))
  await other.upsertJobScheduler('ticks', { every: 3_600_000 }, { name: 'sync', data: data(1) })
  await dropped
  expect(await bench.held()).toEqual(held)
  letOn()
  await adding
  await until(() => runs.length === 1)
  expect(runs).toEqual([0])
})
