import { type ConnectOptions, connect, MemoryStore, memoryBackend, type Soloist, type SoloistEvents } from 'soloist'
import { afterEach, beforeEach, expect } from 'vitest'
import { ManualClock } from './manual-clock.js'
import { ScriptedBackend, type ScriptedLimits } from './scripted-backend.js'

/** The longest call time-out a test sets. */
const LONGEST_CALL_MS = 20_000

/** One client: what the application holds, and the link beneath it. */
export interface Client {
  readonly solo: Soloist
  readonly link: ScriptedBackend
}

/** One memory datastore with several clients, all on one clock that moves only when told to. */
export class World {
  readonly clock: ManualClock = new ManualClock()
  readonly store: MemoryStore = new MemoryStore(this.clock)
  readonly #clients: Client[] = []

  /** @param limits what the client is told of how much its backend bears; default: as the memory backend says */
  client(options: ConnectOptions = {}, limits: ScriptedLimits = {}): Client {
    const link = new ScriptedBackend(memoryBackend({ store: this.store }), this.clock, limits)
    const client = { link, solo: connect(link, { clock: this.clock, random: () => 0.5, ...options }) }
    this.#clients.push(client)
    return client
  }

  /** Who holds the lock, by the datastore itself. */
  owners(name: string): readonly string[] {
    return (this.store.inspect(name)?.holders ?? []).map(({ owner }) => owner)
  }

  /** Who waits for the lock, first come first, by the datastore itself. */
  waiters(name: string): readonly string[] {
    return (this.store.inspect(name)?.waiters ?? []).map(({ owner }) => owner)
  }

  /** Everything that is held or waited for. */
  inUse(): readonly string[] {
    return this.store.names('').filter(name => this.store.inspect(name) !== null)
  }

  /** Closes every client, and shows that none leaves a timer. */
  async end(): Promise<void> {
    for (const { link } of this.#clients) link.fate = 'pass'
    const closing = watch(Promise.all(this.#clients.map(({ solo }) => solo.close())))
    await this.clock.flush()
    // What was dropped on the way is waited for as long as any call.
    if (!closing.settled) await this.clock.advance(LONGEST_CALL_MS)
    expect(closing.settled, 'close() took longer than a call may').toBe(true)
    const delayed = this.#clients.reduce((sum, { link }) => sum + link.delayed, 0)
    expect(this.clock.pending - delayed, 'timers left after close()').toBe(0)
  }
}

/**
 * A world for each test of a file. After each test its clients are closed, and it fails if a timer is left, if a
 * promise was rejected with nobody listening, or if Node printed a warning.
 */
export function useWorld(): { readonly world: World } {
  const use = { world: new World() }
  const unhandled: unknown[] = []
  const note = (problem: unknown) => unhandled.push(problem)
  beforeEach(() => {
    use.world = new World()
    process.on('unhandledRejection', note)
    process.on('warning', note)
  })
  afterEach(async () => {
    await use.world.end()
    await use.world.clock.flush()
    process.off('unhandledRejection', note)
    process.off('warning', note)
    expect(unhandled.splice(0), 'unhandled rejections and warnings').toEqual([])
  })
  return use
}

/** One event, by its name. */
export type Recorded = { [E in keyof SoloistEvents]: [event: E, detail: SoloistEvents[E][0]] }[keyof SoloistEvents]

/** Notes every event of a client from now on. */
export function record(solo: Soloist): Recorded[] {
  const events: Recorded[] = []
  solo.on('acquired', detail => events.push(['acquired', detail]))
  solo.on('waiting', detail => events.push(['waiting', detail]))
  solo.on('released', detail => events.push(['released', detail]))
  solo.on('detached', detail => events.push(['detached', detail]))
  solo.on('attached', detail => events.push(['attached', detail]))
  solo.on('retaken', detail => events.push(['retaken', detail]))
  solo.on('lost', detail => events.push(['lost', detail]))
  solo.on('fault', detail => events.push(['fault', detail]))
  return events
}

/** What a promise came to, for those that are to be looked at before they settle. */
export interface Outcome<T> {
  value?: T
  error?: unknown
  settled: boolean
}

export function watch<T>(promise: Promise<T>): Outcome<T> {
  const outcome: Outcome<T> = { settled: false }
  promise.then(
    value => Object.assign(outcome, { value, settled: true }),
    (error: unknown) => Object.assign(outcome, { error, settled: true }),
  )
  return outcome
}
