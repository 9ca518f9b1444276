import fc from 'fast-check'
import type { Answer, Claim, MemoryStore, memoryBackend, Step, StoreEvent } from 'soloist'
import { expect } from 'vitest'
import { ManualClock } from '../support/manual-clock.js'
import { SpecStore } from './spec-store.js'

/** The library under test, or a broken copy of it. */
export interface StoreLibrary {
  readonly MemoryStore: typeof MemoryStore
  readonly memoryBackend: typeof memoryBackend
}

const CLIENTS = ['A', 'B', 'C'] as const
/** So few owners that they meet, repeat themselves and come back. */
const owner = fc.nat(7)
const ms = fc.constantFrom(1, 300, 2_000, 6_000)
const ttlMs = fc.constantFrom<number | null>(300, 300, 2_000, 8_000, null)
const claim = fc.record({
  owner,
  ttlMs,
  shape: fc.constantFrom('exclusive', 'exclusive', 'shared', 'limited'),
  durable: fc.constantFrom(false, false, false, true),
})
const debounce = fc.option(fc.record({ waitMs: ms, maxWaitMs: ms }), { freq: 2 })
const action = fc.constantFrom('meet', 'wait', 'follow', 'displace')
const step = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('acquire' as const),
      claim,
      ticket: fc.constantFrom('new', 'old', 'old', null),
      replaces: fc.option(owner, { freq: 5 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('renew' as const), owner, ttlMs }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('release' as const), owner, keeps: fc.boolean() }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('trigger' as const),
      claim,
      running: action,
      pending: action,
      note: fc.option(fc.constantFrom('x', 'y')),
      begins: fc.boolean(),
      debounce,
      without: fc.option(owner, { freq: 6 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('begin' as const), owner }) },
)
type AnyStep = typeof step extends fc.Arbitrary<infer T> ? T : never
const command = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('steps' as const),
      client: fc.nat(2),
      steps: fc.array(step, { minLength: 1, maxLength: 3 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('pass' as const), ms }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('watch' as const), client: fc.nat(2), owner }) },
)

const NAME = 'lock'

/** The same to both, and what each made of it. */
class Pair {
  readonly clock = new ManualClock()
  readonly memory: MemoryStore
  readonly spec = new SpecStore(() => this.clock.wallMs())
  readonly told: { readonly client: string; readonly event: StoreEvent }[] = []
  readonly backends: readonly ReturnType<typeof memoryBackend>[]
  /** What each calls by another number: fences and tickets say an order, and nothing else. */
  readonly #fences = new Map<number, number>()
  readonly #tickets = new Map<string, { readonly memory: number; readonly spec: number }>()

  constructor({ MemoryStore, memoryBackend }: StoreLibrary) {
    this.memory = new MemoryStore(this.clock)
    this.backends = CLIENTS.map(client => {
      const backend = memoryBackend({ store: this.memory })
      backend.open(client, event => this.told.push({ client, event }))
      this.spec.clients.add(client)
      return backend
    })
  }

  async steps(client: number, steps: readonly AnyStep[]): Promise<void> {
    const [forMemory, forSpec] = (['memory', 'spec'] as const).map(side => steps.map(step => this.#made(step, side)))
    const name = CLIENTS[client] as string
    const [memory, spec] = [
      await (this.backends[client] as (typeof this.backends)[number]).run(forMemory as Step[]),
      this.spec.run(name, forSpec as Step[]),
    ]
    for (const [i, answer] of memory.steps.entries()) {
      this.#same(steps[i] as AnyStep, answer, spec.steps[i] as Answer)
    }
    expect(memory.handed.map(({ owner }) => owner)).toEqual(spec.handed.map(({ owner }) => owner))
    for (const [i, { fence }] of memory.handed.entries()) this.#sameFence(fence, spec.handed[i]?.fence ?? 0)
    await this.state()
  }

  async watch(client: number, number: number): Promise<void> {
    const claim = { name: NAME, owner: ownerOf(number) }
    const memory = await this.backends[client]?.results?.watch(claim)
    expect(memory).toEqual(this.spec.watch(CLIENTS[client] as string, claim))
    await this.state()
  }

  /** Who holds, who waits, what is pending, and what was pushed. */
  async state(): Promise<void> {
    await Promise.resolve()
    const pushed = (all: readonly { client: string; event: StoreEvent }[]) =>
      all.map(({ client, event }) => [client, event.type, 'owner' in event ? event.owner : ''])
    expect(pushed(this.told.splice(0))).toEqual(pushed(this.spec.pushes.splice(0)))
    this.spec.look(NAME)
    const state = this.memory.inspect(NAME)
    expect((state?.holders ?? []).map(({ owner, expiresAtMs }) => [owner, expiresAtMs])).toEqual(
      this.spec.holders(NAME).map(({ owner, untilMs }) => [owner, untilMs === Infinity ? null : untilMs]),
    )
    expect((state?.waiters ?? []).map(({ owner }) => owner)).toEqual(this.spec.waiters(NAME))
    expect(state?.pending ?? null).toEqual(this.spec.pending(NAME))
  }

  #made(step: AnyStep, side: 'memory' | 'spec'): Step {
    if (step.kind === 'acquire') {
      const owner = ownerOf(step.claim.owner)
      const ticket = step.ticket === 'old' ? (this.#tickets.get(owner)?.[side] ?? 'new') : (step.ticket as 'new' | null)
      const { replaces } = step
      const claim = claimOf(step.claim)
      // Only exclusive claims take a lock from its owner, and only from another.
      const takes = replaces !== null && claim.mode === 'exclusive' && replaces !== step.claim.owner
      return { kind: 'acquire', claim, ticket, replaces: takes ? ownerOf(replaces) : null }
    }
    if (step.kind === 'trigger') {
      const { claim, running, pending, note, begins, debounce, without } = step
      const dead = without === null || without === claim.owner ? null : ownerOf(without)
      const actions = { running, pending } as { running: 'meet'; pending: 'meet' }
      return {
        kind: 'trigger',
        claim: claimOf(claim),
        ...actions,
        note,
        begins,
        debounce,
        without: dead,
        keepMs: 5_000,
      }
    }
    const claim = { name: NAME, owner: ownerOf(step.owner) }
    if (step.kind === 'renew') return { kind: 'renew', ...claim, ttlMs: step.ttlMs, fence: null }
    if (step.kind === 'begin') return { kind: 'begin', ...claim }
    return { kind: 'release', ...claim, result: step.keeps ? { text: 'result', keepMs: 1_000 } : null }
  }

  #same(step: AnyStep, memory: Answer, spec: Answer): void {
    if ('fence' in memory && 'fence' in spec && memory.fence !== null && spec.fence !== null) {
      this.#sameFence(memory.fence, spec.fence)
    }
    const owner = ownerOf('claim' in step ? step.claim.owner : step.owner)
    if (memory.status === 'busy' && spec.status === 'busy' && memory.ticket !== null && spec.ticket !== null) {
      this.#tickets.set(owner, { memory: memory.ticket, spec: spec.ticket })
    }
    const plain = (answer: Answer) => {
      const ticket = 'ticket' in answer ? { ticket: answer.ticket !== null } : {}
      return { ...answer, ...('fence' in answer ? { fence: true } : {}), ...ticket }
    }
    expect(plain(memory), JSON.stringify(step)).toEqual(plain(spec))
  }

  /** One fence of the one is one of the other, and both rise alike. */
  #sameFence(memory: number, spec: number): void {
    const known = this.#fences.get(spec)
    if (known === undefined) {
      for (const [other, itsMemory] of this.#fences) expect(memory > itsMemory).toBe(spec > other)
      this.#fences.set(spec, memory)
    } else expect(memory).toBe(known)
  }
}

function ownerOf(number: number): string {
  return `owner ${number}`
}

function claimOf(claim: { owner: number; ttlMs: number | null; shape: string; durable: boolean }): Claim {
  const mode = claim.shape === 'exclusive' ? 'exclusive' : 'shared'
  const { ttlMs, durable } = claim
  return {
    name: NAME,
    owner: ownerOf(claim.owner),
    mode,
    limit: claim.shape === 'limited' ? 2 : null,
    ttlMs,
    meta: null,
    durable,
  }
}

/**
 * Has the memory backend and the specification do the same, until they differ, which is thrown.
 *
 * @returns how many steps of each kind there were
 */
export async function compare(
  library: StoreLibrary,
  { seed, runs, shrinks = true }: { readonly seed: number; readonly runs: number; readonly shrinks?: boolean },
): Promise<ReadonlyMap<string, number>> {
  const kinds = new Map<string, number>()
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 1, maxLength: 25 }), async commands => {
      const pair = new Pair(library)
      for (const command of commands) {
        if (command.do === 'pass') pair.clock.block(command.ms)
        else if (command.do === 'watch') await pair.watch(command.client, command.owner)
        else await pair.steps(command.client, command.steps)
        // A ticket that was handed out is not handed out again.
        pair.clock.block(1)
        if (command.do === 'steps') for (const { kind } of command.steps) kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
      }
    }),
    { seed, numRuns: runs, endOnFailure: !shrinks },
  )
  return kinds
}
