import fc from 'fast-check'
import type { Lease, Lock, Soloist } from 'soloist'
import { describe, expect, it, vi } from 'vitest'
import type { Fate } from '../support/scripted-backend.js'
import { type Client, World } from '../support/world.js'

/** Set it to a seed that was printed to run the same schedules again. */
const seed = Number(process.env.SOLOIST_TEST_SEED ?? Date.now() % 2 ** 31)
/** A number and no time limit: a busy machine takes longer, and tries as much. */
const parameters = { seed, numRuns: 300 }

/** What the schedules lock: a mutex or read/write lock `a`, and a semaphore `s` that writers use too. */
const kinds = {
  mutex: { name: 'a', exclusive: true, of: (solo: Soloist): Lock => solo.rwLock('a').write },
  reader: { name: 'a', exclusive: false, of: (solo: Soloist): Lock => solo.rwLock('a').read },
  permit: { name: 's', exclusive: false, of: (solo: Soloist): Lock => solo.semaphore('s', 2) },
  whole: { name: 's', exclusive: true, of: (solo: Soloist): Lock => solo.rwLock('s').write },
} as const
type Kind = keyof typeof kinds

const CLIENTS = 3
const client = fc.nat(CLIENTS - 1)
const kind = fc.constantFrom<Kind>('mutex', 'mutex', 'reader', 'permit', 'whole')
const ms = fc.constantFrom(1, 40, 300, 1_000, 4_000)
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('lock' as const), client, kind, ttlMs: ms, waitMs: fc.option(ms) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('tryLock' as const), client, kind, ttlMs: ms }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('release' as const), which: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('abort' as const), which: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const), client }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('advance' as const), ms }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('block' as const), ms }) },
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never
/** Steps of one turn of the event loop, which travel together. */
const turn = fc.oneof(
  { weight: 2, arbitrary: fc.tuple(step) },
  { weight: 1, arbitrary: fc.array(step, { minLength: 2, maxLength: 12 }) },
)
/** What a backend bears: the schedules' clients are told different things. */
const LIMITS = [{}, { mostSteps: 3, callsAtOnce: 1 }, { mostSteps: 2, callsAtOnce: 3 }] as const

const delay = fc.constantFrom(1, 20, 400, 2_000, 6_000)
const anyFate = fc.oneof(
  { weight: 8, arbitrary: fc.constant<Fate>('pass') },
  { weight: 4, arbitrary: fc.constantFrom<Fate>('drop', 'swallow', 'refuse', 'lose', 'twice', 'throw') },
  { weight: 3, arbitrary: fc.constantFrom('refuse', 'lose', 'again').map((step): Fate => ({ step })) },
  { weight: 2, arbitrary: delay.map((arrivesAfterMs): Fate => ({ arrivesAfterMs })) },
  { weight: 2, arbitrary: delay.map((answersAfterMs): Fate => ({ answersAfterMs })) },
)
const anyPush = fc.oneof(
  { weight: 4, arbitrary: fc.constant({ copies: 1, afterMs: 0 }) },
  { weight: 4, arbitrary: fc.record({ copies: fc.nat(2), afterMs: fc.constantFrom(0, 20, 400, 6_000) }) },
)

/** One call for a lock, as the application sees it. */
interface Call {
  readonly kind: Kind
  readonly client: Client
  /** The owner it asks as: clients number their calls. */
  readonly owner: string
  readonly controller: AbortController
  state: 'waiting' | 'held' | 'over'
  lease: Lease | null
}

/** Runs a schedule, and judges it by a model that knows nothing of how the locks are made. */
class Schedule {
  readonly world = new World()
  readonly calls: Call[] = []
  grants = 0
  readonly #clients: Client[]
  readonly #numbers = new Map<Client, number>()
  readonly #fates: () => Fate
  readonly #pushes: () => { copies: number; afterMs: number }
  /** The highest fence granted so far, per lock and whether the grant was exclusive. */
  readonly #fences = new Map<string, number>()
  #healed = false
  #made = 0

  constructor(fates: readonly Fate[], pushes: readonly { copies: number; afterMs: number }[]) {
    const cycle = <T>(values: readonly T[]) => {
      let i = 0
      return () => values[i++ % values.length] as T
    }
    this.#fates = cycle(fates)
    this.#pushes = cycle(pushes)
    this.#clients = Array.from({ length: CLIENTS }, () => this.#newClient())
  }

  async run(steps: readonly Step[]): Promise<void> {
    for (const step of steps) await this.#do(step)
    await this.world.clock.flush()
    this.judge()
  }

  async #do(step: Step): Promise<void> {
    const { clock } = this.world
    if (step.do === 'lock' || step.do === 'tryLock') this.#call(step)
    else if (step.do === 'release') this.#release(this.#pick('held', step.which))
    else if (step.do === 'abort') this.#pick('waiting', step.which)?.controller.abort()
    else if (step.do === 'crash') this.#crash(step.client)
    else if (step.do === 'block') clock.block(step.ms)
    else for (let left = step.ms; left > 0; left -= 100) await this.#passed(Math.min(left, 100))
  }

  /** At most one exclusive lease of a lock is valid at a time, or none and as many shared ones as fit. */
  judge(): void {
    for (const name of ['a', 's']) {
      const valid = this.calls.filter(call => call.lease !== null && kinds[call.kind].name === name && isValid(call))
      const writers = valid.filter(call => kinds[call.kind].exclusive).length
      const most = writers > 0 ? 1 : name === 's' ? 2 : Number.POSITIVE_INFINITY
      expect(valid.length, `valid leases of ${name}, ${writers} of them exclusive`).toBeLessThanOrEqual(most)
    }
  }

  /** Whoever holds or waits is somebody: a lease or a call of a client that still knows of it. */
  judgeOwners(): void {
    const known = new Set(this.calls.filter(({ state }) => state !== 'over').map(({ owner }) => owner))
    for (const name of this.world.inUse()) {
      for (const owner of [...this.world.owners(name), ...this.world.waiters(name)]) {
        expect(known, `who holds or waits for ${name}`).toContain(owner)
      }
    }
  }

  /** The network is well again and everybody lets go: every wait must end, and nothing stay behind. */
  async settle(): Promise<void> {
    this.#healed = true
    for (let i = 0; i < 60 && this.calls.some(({ state }) => state !== 'over'); i++) {
      for (const call of this.calls) this.#release(call)
      await this.#passed(1_000)
    }
    expect(this.calls.filter(({ state }) => state !== 'over')).toEqual([])
    await this.#passed(20_000)
    expect(this.world.inUse()).toEqual([])
    await this.world.end()
  }

  #newClient(): Client {
    const client = this.world.client({}, LIMITS[this.#made++ % LIMITS.length])
    client.link.fate = () => (this.#healed ? 'pass' : this.#fates())
    client.link.onPush = (event, deliver) => {
      const { copies, afterMs } = this.#healed ? { copies: 1, afterMs: 0 } : this.#pushes()
      for (let i = 0; i < copies; i++) {
        if (afterMs === 0) deliver(event)
        else client.link.later(afterMs, () => deliver(event))
      }
    }
    return client
  }

  #call(step: Step & { do: 'lock' | 'tryLock' }): void {
    const client = this.#clients[step.client] as Client
    const number = (this.#numbers.get(client) ?? 0) + 1
    this.#numbers.set(client, number)
    const owner = `${client.solo.clientId}/${number}`
    const call: Call = {
      kind: step.kind,
      client,
      owner,
      controller: new AbortController(),
      state: 'waiting',
      lease: null,
    }
    this.calls.push(call)
    const lock = kinds[step.kind].of(client.solo)
    const { signal } = call.controller
    const { ttlMs } = step
    const lease =
      step.do === 'tryLock'
        ? lock.tryLock({ ttlMs, signal })
        : lock.lock({ ttlMs, signal, ...(step.waitMs === null ? {} : { waitMs: step.waitMs }) })
    lease.then(
      lease => this.#granted(call, lease),
      (error: unknown) => {
        expect(error).toMatchObject({ name: expect.stringMatching(/^(SoloistError|LockTimeoutError)$/) })
        call.state = 'over'
      },
    )
  }

  #granted(call: Call, lease: Lease | null): void {
    call.state = lease === null ? 'over' : 'held'
    call.lease = lease
    if (lease === null) return
    this.grants += 1
    expect(lease.owner).toBe(call.owner)
    expect(isValid(call), 'a lease that was granted is valid').toBe(true)
    const { name, exclusive } = kinds[call.kind]
    // Shared leases may overlap, so only those that cannot are sure to arrive in the order of their grants.
    const before = Math.max(this.#fence(name, true), exclusive ? this.#fence(name, false) : 0)
    expect(lease.fence).toBeGreaterThan(before)
    this.#fences.set(`${name} ${exclusive}`, Math.max(this.#fence(name, exclusive), lease.fence))
    this.judge()
  }

  #fence(name: string, exclusive: boolean): number {
    return this.#fences.get(`${name} ${exclusive}`) ?? 0
  }

  #release(call: Call | undefined): void {
    if (call?.state !== 'held') return
    call.state = 'over'
    call.lease?.release().catch((error: unknown) => expect(error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' }))
    call.lease = null
  }

  /** The process is gone: nothing it sends arrives, nothing reaches it. Its leases count for as long as they are valid. */
  #crash(index: number): void {
    const crashed = this.#clients[index] as Client
    crashed.link.fate = 'drop'
    crashed.link.onPush = () => {}
    for (const call of this.calls) if (call.client === crashed && call.state === 'waiting') call.controller.abort()
    this.#clients[index] = this.#newClient()
  }

  #pick(state: Call['state'], which: number): Call | undefined {
    const calls = this.calls.filter(call => call.state === state)
    return calls[which % Math.max(calls.length, 1)]
  }

  async #passed(ms: number): Promise<void> {
    await this.world.clock.advance(ms)
    this.judge()
  }
}

function isValid({ lease }: Call): boolean {
  try {
    lease?.assertValid()
    return lease !== null
  } catch (error) {
    expect(error).toMatchObject({ code: 'LEASE_LOST' })
    return false
  }
}

vi.setConfig({ testTimeout: 120_000 })

const unhandled: unknown[] = []
process.on('unhandledRejection', error => unhandled.push(error))

describe('any schedule of calls, releases, aborts, crashes and lost, late or repeated messages', () => {
  it('never has two valid leases that exclude each other, has rising fences, and leaves nothing behind', async () => {
    let grants = 0
    let schedules = 0
    await fc.assert(
      fc.asyncProperty(
        fc.array(turn, { minLength: 1, maxLength: 30 }),
        fc.array(anyFate, { minLength: 1, maxLength: 30 }),
        fc.array(anyPush, { minLength: 1, maxLength: 8 }),
        async (steps, fates, pushes) => {
          const schedule = new Schedule(fates, pushes)
          for (const turn of steps) await schedule.run(turn)
          await schedule.settle()
          grants += schedule.grants
          schedules += 1
          expect(unhandled).toEqual([])
        },
      ),
      parameters,
    )
    // Or it showed nothing. How many there are depends on the machine, how much each of them does not.
    expect(grants, `grants in ${schedules} schedules`).toBeGreaterThan(schedules / 2)
  })

  it('in which only answers are lost, or calls repeated, never has a client wait for itself', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 30 }),
        fc.array(fc.constantFrom<Fate>('lose', 'twice', 'pass'), { minLength: 1, maxLength: 20 }),
        fc.array(anyPush, { minLength: 1, maxLength: 8 }),
        async (steps, fates, pushes) => {
          // A call is repeated once, so of two answers in a row one arrives.
          const schedule = new Schedule(
            fates.flatMap((fate): Fate[] => [fate, 'pass']),
            pushes,
          )
          for (const step of steps) {
            if (step.do === 'crash' || step.do === 'block') continue
            await schedule.run([step])
            schedule.judgeOwners()
          }
          await schedule.settle()
        },
      ),
      parameters,
    )
  })
})
