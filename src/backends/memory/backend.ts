import type { Answers, Backend, ClaimId, LockState, ResultStore, Step, StoreEvent, WatchReply } from '../../backend.js'
import { SoloistError } from '../../errors.js'
import { checkOptionNames, checkOptions, type OptionNames } from '../../internal/check.js'
import { MemoryStore } from './store.js'

export interface MemoryBackendOptions {
  /** The store to use, shared with other backends of this process; default: one of its own, on the system's clock. */
  readonly store?: MemoryStore | undefined
}

const OPTION_NAMES: OptionNames<MemoryBackendOptions> = { store: true }

/** Locks within one process: for tests, and for programs that run once anyway. The reference for all other backends. */
export function memoryBackend(options: MemoryBackendOptions = {}): Backend {
  checkOptions(options)
  checkOptionNames(options, OPTION_NAMES)
  return new MemoryBackend(options.store ?? new MemoryStore())
}

class MemoryBackend implements Backend, ResultStore {
  readonly kind = 'memory'
  readonly beatMs: number = 4_000
  readonly mostSteps: number = 256
  readonly callsAtOnce: number = 2
  readonly results: ResultStore = this
  readonly #store: MemoryStore
  #client = ''
  #closed = false

  constructor(store: MemoryStore) {
    this.#store = store
  }

  open(client: string, listener: (event: StoreEvent) => void): void {
    this.#client = client
    this.#store.subscribe(client, listener)
  }

  async run(steps: readonly Step[]): Promise<Answers> {
    this.#assertOpen()
    return this.#store.run(this.#client, steps)
  }

  async watch(claim: ClaimId): Promise<WatchReply> {
    this.#assertOpen()
    return this.#store.watch(this.#client, claim)
  }

  async inspect(name: string): Promise<LockState | null> {
    this.#assertOpen()
    return this.#store.inspect(name)
  }

  async *list(prefix: string): AsyncGenerator<LockState, void, undefined> {
    this.#assertOpen()
    for (const name of this.#store.names(prefix)) {
      this.#assertOpen()
      const state = this.#store.inspect(name)
      if (state !== null) yield state
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#store.unsubscribe(this.#client)
  }

  #assertOpen(): void {
    if (this.#closed) throw new SoloistError('CLOSED', 'this backend was closed')
  }
}
