import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Claim } from '../../backend.js'
import { type ConformanceSetup, type OpenedStore, type OpenStore, opener } from '../setup.js'
import { TrialClient } from './client.js'
import { release } from './steps.js'

/** What a test lets pass beyond a ttl before it expects the claim to be over. */
const MARGIN_MS = 50
/** The most a single test may take; the longest waits for a grant lease to run out. */
const TEST_TIMEOUT_MS = 60_000

/** One test's own corner of the datastore: a fresh prefix, the clients it opened, and the time that passes there. */
export class Trial {
  readonly prefix: string
  readonly #open: OpenStore
  readonly #elapse: (ms: number) => Promise<void> | void
  readonly #stores: OpenedStore[] = []
  readonly #claims: { readonly prefix: string; readonly claim: Claim }[] = []
  #clients = 0

  constructor(open: OpenStore, elapse: (ms: number) => Promise<void> | void) {
    this.prefix = `conformance-${randomBytes(6).toString('hex')}:`
    this.#open = open
    this.#elapse = elapse
  }

  /** Opens one more client, under this trial's prefix unless told otherwise. */
  async client(prefix: string = this.prefix): Promise<TrialClient> {
    const letter = String.fromCharCode('A'.charCodeAt(0) + this.#clients)
    this.#clients += 1
    const id = `${letter}-${randomBytes(6).toString('hex')}`
    const { backend } = await this.store(prefix)
    return new TrialClient(id, backend, claim => this.#claims.push({ prefix, claim }))
  }

  /** Opens several more clients. */
  async clients<N extends number>(count: N): Promise<Tuple<TrialClient, N>> {
    const clients: TrialClient[] = []
    while (clients.length < count) clients.push(await this.client())
    return clients as Tuple<TrialClient, N>
  }

  /** Opens the datastore once more, under this trial's prefix unless told otherwise, until the trial ends. */
  async store(prefix: string = this.prefix): Promise<OpenedStore> {
    const store = await this.#open({ prefix })
    this.#stores.push(store)
    return store
  }

  /** Lets a ttl pass on the datastore's clock, and a little more. */
  async outlast(ttlMs: number): Promise<void> {
    await this.elapse(ttlMs + MARGIN_MS)
  }

  async elapse(ms: number): Promise<void> {
    await this.#elapse(ms)
  }

  /** Gives up every claim of the trial, the last first, and closes every client. */
  async end(): Promise<void> {
    const released = await Promise.allSettled([this.#releaseAll()])
    const closed = await Promise.allSettled(this.#stores.map(async ({ backend }) => await backend.close()))
    const disposed = await Promise.allSettled(this.#stores.map(async store => await store.dispose?.()))
    for (const result of [...released, ...disposed]) if (result.status === 'rejected') throw result.reason
    const reasons = closed.filter(result => result.status === 'rejected').map(({ reason }) => String(reason))
    assert.deepEqual(reasons, [], 'every client can be closed, if need be once more')
  }

  async #releaseAll(): Promise<void> {
    for (const prefix of new Set(this.#claims.map(made => made.prefix))) {
      const client = await this.client(prefix)
      const claims = this.#claims.filter(made => made.prefix === prefix).map(({ claim }) => claim)
      const steps = claims.reverse().map(claim => release(claim))
      const { mostSteps } = client.backend
      for (let i = 0; i < steps.length; i += mostSteps) await client.run(steps.slice(i, i + mostSteps))
    }
  }
}

/** Where a guarantee registers its tests. */
export class Suite {
  /** The module other processes can open the datastore with; `null` when it lives in this process alone. */
  readonly module: URL | null
  readonly #setup: ConformanceSetup
  readonly #open: OpenStore

  constructor(setup: ConformanceSetup) {
    this.#setup = setup
    this.#open = opener(setup.store)
    this.module = setup.store instanceof URL ? setup.store : null
  }

  /** Sets the datastore's clock, where it can be set. */
  get stepClock(): ConformanceSetup['stepClock'] {
    return this.#setup.stepClock
  }

  /** Makes the datastore lose the details of locks, where it can. */
  get loseDetails(): ConformanceSetup['loseDetails'] {
    return this.#setup.loseDetails
  }

  /** Registers the tests of one guarantee. */
  guarantee(name: string, register: (suite: Suite) => void): void {
    this.#setup.runner.describe(name, () => register(this))
  }

  /** Registers one test, which gets a trial of its own. */
  test(name: string, body: (trial: Trial) => Promise<void>): void {
    const run = async () => {
      const trial = new Trial(this.#open, this.#setup.elapse ?? sleep)
      // Of two failures the test's own is the one to report.
      const [outcome] = await Promise.allSettled([body(trial)])
      const [ending] = await Promise.allSettled([trial.end()])
      for (const result of [outcome, ending]) if (result.status === 'rejected') throw result.reason
    }
    this.#setup.runner.test(name, run, TEST_TIMEOUT_MS)
  }
}

type Tuple<T, N extends number, R extends T[] = []> = R['length'] extends N ? R : Tuple<T, N, [...R, T]>
