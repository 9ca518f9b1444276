import { resolve } from 'node:path'
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
import { invalidArgument } from '../../errors.js'
import { type Database, isBusy, loadDriver, type SqliteDriver } from './client.js'
import { BEAT_MS } from './rows.js'
import { Steps } from './steps.js'
import { Store } from './store.js'
import { View } from './view.js'
import { GrantWatch } from './watch.js'

export interface SqliteBackendOptions {
  /** What every row's name starts with; default `'soloist:'`. */
  readonly prefix?: string | undefined
  /** Default: `node:sqlite` where this Node.js has it (from 22.13 on), else the package `libsql`. */
  readonly driver?: SqliteDriver | undefined
}

/**
 * Locks for all processes of one machine, in one SQLite database file on a local disk. `target` is its path, relative
 * to the working directory; the file and its folders are made, for this user alone, at the first call.
 *
 * **When the file is deleted or replaced** while it is in use, the next call notices and rejects, and the one after it
 * works on the new file, where nothing is held. A lease of before is lost at its next renewal at the latest, a third of
 * its ttl. Until then a process that opened the new file earlier can hold the same lock: with a higher fence, since
 * fences start from the clock.
 *
 * @throws SoloistError `INVALID_ARGUMENT` for a path, prefix or driver it cannot take, `BACKEND_UNAVAILABLE` when there
 *   is no driver
 */
export function sqliteBackend(target: string, options: SqliteBackendOptions = {}): Backend {
  return new SqliteBackend(checkPath(target), checkPrefix(options.prefix ?? 'soloist:'), loadDriver(options.driver))
}

class SqliteBackend implements Backend {
  readonly kind = 'sqlite'
  readonly beatMs: number = BEAT_MS
  readonly #steps: Steps
  readonly #store: Store
  readonly #view: View
  readonly #watch: GrantWatch
  /** When the next step also sweeps, on `performance.now()`'s clock. */
  #sweepDueMs = Number.NEGATIVE_INFINITY

  constructor(path: string, prefix: string, open: (path: string) => Database) {
    const steps = new Steps(path, open, () => this.#watch.gap())
    const view = new View(prefix)
    this.#steps = steps
    this.#view = view
    this.#store = new Store(prefix)
    this.#watch = new GrantWatch({
      version: () => steps.peek(db => db.get('PRAGMA data_version')?.data_version as number),
      pushed: client => steps.peek(db => view.pushed(db, client)),
      // A busy database is looked at again. Any other fault is for the next step, at the latest a beat away: it opens
      // the database anew and rejects if the fault still stands.
      failed: error => isBusy(error) || steps.discard(),
    })
  }

  async acquire(claim: Claim, options: AcquireOptions = {}): Promise<AcquireReply> {
    const sweeps = performance.now() >= this.#sweepDueMs
    const { reply, grants } = await this.#steps.run('write', db => {
      const swept = sweeps ? this.#store.sweep(db) : []
      const outcome = this.#store.acquire(db, claim, options)
      return { reply: outcome.reply, grants: [...swept, ...outcome.grants] }
    })
    if (sweeps) this.#sweepDueMs = performance.now() + BEAT_MS
    if (reply.status === 'busy' && reply.ticket !== null) this.#watch.add(claim)
    else this.#watch.remove(claim)
    this.#watch.deliver(grants)
    return reply
  }

  async renew(claims: readonly Claim[]): Promise<readonly RenewReply[]> {
    const replies = await this.#steps.run('write', db => this.#store.renew(db, claims))
    replies.forEach((reply, i) => {
      if (reply.status === 'held') this.#watch.remove(claims[i] as Claim)
    })
    return replies
  }

  async release(claim: Claim, _result?: KeptResult): Promise<ReleaseReply> {
    this.#watch.remove(claim)
    const { reply, grants } = await this.#steps.run('write', db => this.#store.release(db, claim))
    this.#watch.deliver(grants)
    return { released: reply }
  }

  async watch(_name: string, _owner: string, _client: string): Promise<WatchReply> {
    throw new Error('not yet')
  }

  onGrant(listener: (event: GrantEvent) => void): void {
    this.#watch.listener = listener
  }

  async inspect(name: string): Promise<LockState | null> {
    return await this.#steps.run('read', db => this.#view.inspect(db, name))
  }

  async *list(prefix: string): AsyncGenerator<LockState, void, undefined> {
    let from: Uint8Array | null = this.#view.firstPage(prefix)
    while (from !== null) {
      const start: Uint8Array = from
      const page = await this.#steps.run('read', db => this.#view.page(db, prefix, start))
      yield* page.states
      from = page.next
    }
  }

  async close(): Promise<void> {
    this.#watch.stop()
    this.#steps.close()
  }
}

function checkPath(target: unknown): string {
  if (typeof target !== 'string' || target === '' || target.includes('\0')) {
    throw invalidArgument('the SQLite backend needs the path of a file, as in sqlite:./soloist.db')
  }
  if (target === ':memory:') {
    throw invalidArgument('an SQLite database in memory is seen by one connection only; for one process use memory:')
  }
  return resolve(target)
}

function checkPrefix(prefix: unknown): string {
  if (typeof prefix !== 'string' || !prefix.isWellFormed()) throw invalidArgument('prefix must be well-formed text')
  return prefix
}
