import type {
  AcquireOptions,
  AcquireReply,
  Backend,
  Claim,
  GrantEvent,
  KeptResult,
  LockState,
  ReleaseReply,
  RenewReply,
  WatchReply,
} from '../../backend.js'
import { SoloistError } from '../../errors.js'
import { checkOptionNames, checkOptions, type OptionNames } from '../../internal/check.js'
import { MemoryStore } from './store.js'

export interface MemoryBackendOptions {
  /** The store to use, shared with other backends of this process; default: one of its own, on the system's clock. */
  readonly store?: MemoryStore | undefined
}

const OPTION_NAMES: OptionNames<MemoryBackendOptions> = { store: true }
const BEAT_MS = 4_000

/** Locks within one process: for tests, and for programs that run once anyway. The reference for all other backends. */
export function memoryBackend(options: MemoryBackendOptions = {}): Backend {
  checkOptions(options)
  checkOptionNames(options, OPTION_NAMES)
  return new MemoryBackend(options.store ?? new MemoryStore())
}

class MemoryBackend implements Backend {
  readonly kind = 'memory'
  readonly beatMs: number = BEAT_MS
  readonly #store: MemoryStore
  readonly #clients = new Set<string>()
  #listener: (event: GrantEvent) => void = () => {}
  #closed = false

  constructor(store: MemoryStore) {
    this.#store = store
  }

  async acquire(claim: Claim, options: AcquireOptions = {}): Promise<AcquireReply> {
    this.#assertOpen()
    this.#subscribe(claim.client)
    return this.#store.acquire(claim, options)
  }

  async renew(claims: readonly Claim[]): Promise<readonly RenewReply[]> {
    this.#assertOpen()
    return claims.map(claim => this.#store.renew(claim))
  }

  async release(claim: Claim, result?: KeptResult): Promise<ReleaseReply> {
    this.#assertOpen()
    return { released: this.#store.release(claim, result ?? null) }
  }

  async watch(name: string, owner: string, client: string): Promise<WatchReply> {
    this.#assertOpen()
    this.#subscribe(client)
    return this.#store.watch(name, owner, client)
  }

  onGrant(listener: (event: GrantEvent) => void): void {
    this.#listener = listener
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
    for (const client of this.#clients) this.#store.unsubscribe(client)
    this.#clients.clear()
  }

  #subscribe(client: string): void {
    if (this.#clients.has(client)) return
    this.#clients.add(client)
    this.#store.subscribe(client, event => this.#listener(event))
  }

  #assertOpen(): void {
    if (this.#closed) throw new SoloistError('CLOSED', 'this backend was closed')
  }
}
