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
import { checkOptionNames, checkOptions, type OptionNames } from '../../internal/check.js'
import { type Database, isBusy, loadDriver, type SqliteDriver } from './client.js'
import { BEAT_MS } from './rows.js'
import { Steps } from './steps.js'
import { Store } from './store.js'
import { View } from './view.js'
import { PushWatch } from './watch.js'

export interface SqliteBackendOptions {
  /** What every row's name starts with; default `'soloist:'`. */
  readonly prefix?: string | undefined
  /** Default: `node:sqlite` where this Node.js has it (from 22.13 on), else the package `libsql`. */
  readonly driver?: SqliteDriver | undefined
}

const OPTION_NAMES: OptionNames<SqliteBackendOptions> = { prefix: true, driver: true }

/**
 * Locks for all processes of one machine, in one SQLite database file on a local disk. `target` is its path, relative
 * to the working directory; the file and its folders are made, for this user alone, at the first call.
 *
 * **When the file is deleted or replaced** while it is in use, the next call notices and rejects, and the one after it
 * works on the new file, where nothing is held; core repeats an acquire and a release by itself, so their callers see no
 * error. A lease of before is lost at its next renewal at the latest, a third of its ttl. Until then a process that opened
 * the new file earlier can hold the same lock: with a higher fence, since fences start from the clock.
 *
 * @throws SoloistError `INVALID_ARGUMENT` for a path, prefix or driver it cannot take, `BACKEND_UNAVAILABLE` when there
 *   is no driver
 */
export function sqliteBackend(target: string, options: SqliteBackendOptions = {}): Backend {
  checkOptions(options)
  checkOptionNames(options, OPTION_NAMES)
  return new SqliteBackend(checkPath(target), checkPrefix(options.prefix ?? 'soloist:'), loadDriver(options.driver))
}

class SqliteBackend implements Backend {
  readonly kind = 'sqlite'
  readonly beatMs: number = BEAT_MS
  readonly #steps: Steps
  readonly #store: Store
  readonly #view: View
  readonly #pushes: PushWatch
  /** When the next step also sweeps, on `performance.now()`'s clock. */
  #sweepDueMs = Number.NEGATIVE_INFINITY

  constructor(path: string, prefix: string, open: (path: string) => Database) {
    const steps = new Steps(path, open, () => this.#pushes.gap())
    const view = new View(prefix)
    this.#steps = steps
    this.#view = view
    this.#store = new Store(prefix)
    this.#pushes = new PushWatch({
      version: () => steps.peek(db => db.get('PRAGMA data_version')?.data_version as number),
      granted: client => steps.peek(db => view.granted(db, client)),
      ended: client => steps.peek(db => view.ended(db, client)),
      // A busy database is looked at again. Any other fault is for the next step, at the latest a beat away: it opens
      // the database anew and rejects if the fault still stands.
      failed: error => isBusy(error) || steps.discard(),
    })
  }

  async acquire(claim: Claim, options: AcquireOptions = {}): Promise<AcquireReply> {
    const sweeps = performance.now() >= this.#sweepDueMs
    const { reply, news } = await this.#steps.run('write', db => {
      const swept = sweeps ? this.#store.sweep(db) : []
      const outcome = this.#store.acquire(db, claim, options)
      return { reply: outcome.reply, news: [...swept, ...outcome.news] }
    })
    if (sweeps) this.#sweepDueMs = performance.now() + BEAT_MS
    if (reply.status === 'busy' && reply.ticket !== null) this.#pushes.addWaiting(claim)
    else this.#pushes.removeWaiting(claim)
    this.#pushes.deliver(news)
    return reply
  }

  async renew(claims: readonly Claim[]): Promise<readonly RenewReply[]> {
    const replies = await this.#steps.run('write', db => this.#store.renew(db, claims))
    replies.forEach((reply, i) => {
      if (reply.status === 'held') this.#pushes.removeWaiting(claims[i] as Claim)
    })
    return replies
  }

  async release(claim: Claim, result?: KeptResult): Promise<ReleaseReply> {
    this.#pushes.removeWaiting(claim)
    const { reply, news } = await this.#steps.run('write', db => this.#store.release(db, claim, result))
    this.#pushes.deliver(news)
    return { released: reply }
  }

  async watch(name: string, owner: string, client: string): Promise<WatchReply> {
    const reply = await this.#steps.run('write', db => this.#store.watch(db, name, owner, client))
    if (reply.status === 'live') this.#pushes.addWatching({ name, owner, client })
    else this.#pushes.removeWatching({ name, owner, client })
    return reply
  }

  onGrant(listener: (event: GrantEvent) => void): void {
    this.#pushes.listener = listener
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
    this.#pushes.close()
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
