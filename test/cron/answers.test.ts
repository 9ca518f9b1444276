// Answers that are lost, late or come twice say nothing of what the store did. No tick may run twice for it; and with
// `recover` each runs, and whoever asked is told.
import fc from 'fast-check'
import { SoloistError } from 'soloist'
import { oncePerTick, type TickRun } from 'soloist/cron'
import { expect, it } from 'vitest'
import type { Fate, Method } from '../support/scripted-backend.js'
import { type Client, type Outcome, World, watch } from '../support/world.js'

const INSTANCES = 3
const EVERY_MS = 5_000
const WORK_MS = 700
const LATE_MS = 2_000
const runsOfProperty = {
  seed: Number(process.env.SOLOIST_TEST_SEED ?? 20_260_101),
  numRuns: Number(process.env.SOLOIST_TEST_RUNS ?? 100),
}

/** What may become of one answer. */
const fate = fc.constantFrom<Fate>(
  ...(['lose', 'swallow', 'refuse', 'drop', 'twice', 'twice', 'lose', 'pass', 'pass'] as const),
  { answersAfterMs: 40 },
  { answersAfterMs: 700 },
  { answersAfterMs: 2_500 },
  { arrivesAfterMs: 900 },
)
const method = fc.constantFrom<Method>('acquire', 'renew', 'release', 'watch', 'inspect')
const trouble = fc.record({ who: fc.nat(INSTANCES - 1), method, fates: fc.array(fate, { minLength: 1, maxLength: 3 }) })
/** What goes wrong at each tick. */
const history = fc.array(fc.array(trouble, { maxLength: 5 }), { minLength: 3, maxLength: 8 })

interface Told {
  readonly runs: readonly TickRun[]
  readonly calls: readonly Outcome<unknown>[]
}

/** Lets every instance come to some ticks, each with a little of what goes wrong. */
async function ticksUnder(
  troubles: readonly (readonly { who: number; method: Method; fates: Fate[] }[])[],
  recover: boolean,
) {
  const world = new World()
  const instances = Array.from({ length: INSTANCES }, () => {
    const client = world.client({ callTimeoutMs: 1_000 })
    client.solo.on('fault', () => {})
    return client
  })
  const ticks: Told[] = []
  for (const some of troubles) {
    const at = new Date(world.clock.wallMs())
    const runs: TickRun[] = []
    const active = new Set<TickRun>()
    const work = async (run: TickRun) => {
      expect(run.signal.aborted, 'a run begins with a signal that has not fired').toBe(false)
      for (const { signal } of active) expect(signal.aborted, 'an earlier run has lost its lease').toBe(true)
      runs.push(run)
      active.add(run)
      await new Promise<void>(resolve => world.clock.setTimer(WORK_MS, resolve))
      active.delete(run)
    }
    for (const { who, method, fates } of some) instances[who]?.link.next(method, ...fates)
    const calls: Outcome<unknown>[] = []
    const come = ({ solo }: Client) => {
      calls.push(watch(oncePerTick(solo, 'nightly', at, work, { recover, ttlMs: 1_500 })))
    }
    // The last one comes when the run has ended.
    for (const instance of instances.slice(1)) come(instance)
    world.clock.setTimer(LATE_MS, () => come(instances[0] as Client))
    for (let leftMs = EVERY_MS; leftMs > 0; leftMs -= 50) await world.clock.advance(50)
    ticks.push({ runs, calls })
  }
  for (const { link } of instances) link.calm()
  await world.clock.advance(60_000)
  for (const { calls } of ticks) {
    for (const { settled, error } of calls) {
      expect(settled).toBe(true)
      if (error !== undefined) expect(error).toBeInstanceOf(SoloistError)
    }
  }
  await world.end()
  return ticks
}

/** Whether nothing but repetitions and delays shorter than a lease happened. */
const isHarmless = (fates: readonly Fate[]) =>
  fates.every(
    one =>
      one === 'twice' ||
      one === 'pass' ||
      (typeof one === 'object' && 'answersAfterMs' in one && one.answersAfterMs <= 700),
  )

it('no tick runs twice; where answers only come late or twice, each runs once and everybody is told', async () => {
  await fc.assert(
    fc.asyncProperty(history, async troubles => {
      const ticks = await ticksUnder(troubles, false)
      const fences: number[] = []
      ticks.forEach(({ runs, calls }, i) => {
        expect(runs.length, `runs of tick ${i}`).toBeLessThanOrEqual(1)
        fences.push(...runs.map(({ fence }) => fence))
        const before = troubles.slice(0, i + 1)
        if (!before.flat().every(({ fates }) => isHarmless(fates))) return
        expect(runs, `runs of tick ${i}`).toHaveLength(1)
        const statuses = calls.map(({ value }) => (value as { status: string }).status).sort()
        expect(statuses).toEqual(['elsewhere', 'elsewhere', 'ran'])
      })
      expect(fences).toEqual([...new Set(fences)].sort((a, b) => a - b))
    }),
    runsOfProperty,
  )
})

it('with recover each tick runs, and no two runs of one are valid at the same time', async () => {
  await fc.assert(
    fc.asyncProperty(history, async troubles => {
      const ticks = await ticksUnder(troubles, true)
      for (const { runs, calls } of ticks) {
        // One whose every question failed may have been told so by all of them.
        if (calls.some(({ error }) => error === undefined)) expect(runs.length).toBeGreaterThanOrEqual(1)
        const fences = runs.map(({ fence }) => fence)
        expect(fences).toEqual([...new Set(fences)].sort((a, b) => a - b))
      }
    }),
    runsOfProperty,
  )
})
