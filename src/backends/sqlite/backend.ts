import { resolve } from 'node:path'
import type {
  Answer,
  Answers,
  ClaimId,
  GuardingBackend,
  LockState,
  ResultStore,
  Step,
  StoreEvent,
  WatchReply,
} from '../../backend.js'
import { invalidArgument, SoloistError } from '../../errors.js'
import { checkOptionNames, checkOptions, type OptionNames } from '../../internal/check.js'
import { monotonicMs, wallMs } from '../../internal/real-time.js'
import { type Database, isBusy, loadDriver, type SqliteDriver } from './client.js'
import { forgetProcess, noteProcess } from './gone.js'
import { guardIn, type SqliteTransaction } from './guard.js'
import { BEAT_MS } from './rows.js'
import { type Outcome, Store } from './store.js'
import { Transactions } from './transactions.js'
import { View } from './view.js'
import { PushWatch } from './watch.js'

export interface SqliteBackendOptions {
  /**
   * What every row's name starts with; default `'soloist:'`. A client whose prefix begins with that of another shares its
   * locks with it, under shorter names.
   */
  readonly prefix?: string | undefined
  /** Default: `node:sqlite` where this Node.js has it (from 22.13 on), else the package `libsql`. */
  readonly driver?: SqliteDriver | undefined
}

const OPTION_NAMES: OptionNames<SqliteBackendOptions> = { prefix: true, driver: true }

/**
 * Locks for all processes of one machine, in one SQLite database file on a local disk. `target` is its path, relative
 * to the working directory; the file and its folders are made, for this user alone, at the first call.
 *
 * **When the file or its write-ahead log (`-wal`) is deleted or replaced** while it is in use, the next call notices and
 * rejects (it may take 2 ms to see that the file alone is gone), and the one after it works on what is there now; core repeats an acquire and a release by itself, so their
 * callers see no error. A lease of before is lost at its next renewal at the latest, a third of its ttl. Until then a
 * process that opened the new file earlier can hold the same lock: with a higher fence, since fences start from the clock.
 *
 * @throws SoloistError `INVALID_ARGUMENT` for a path, prefix or driver it cannot take, `BACKEND_UNAVAILABLE` when there
 *   is no driver
 */
export function sqliteBackend(target: string, options: SqliteBackendOptions = {}): GuardingBackend<SqliteTransaction> {
  checkOptions(options)
  checkOptionNames(options, OPTION_NAMES)
  return new SqliteBackend(checkPath(target), checkPrefix(options.prefix ?? 'soloist:'), loadDriver(options.driver))
}

class SqliteBackend implements GuardingBackend<SqliteTransaction>, ResultStore {
  readonly kind = 'sqlite'
  readonly beatMs: number = BEAT_MS
  /** One transaction of this many takes about a millisecond. */
  readonly mostSteps: number = 128
  /** A call runs to its end at once, so a second one would only make two transactions of one. */
  readonly callsAtOnce: number = 1
  readonly results: ResultStore = this
  readonly #path: string
  readonly #prefix: string
  readonly #transactions: Transactions
  readonly #store: Store
  readonly #view: View
  readonly #pushes: PushWatch
  #client = ''
  /** The connection through which it was noted in which process this client is. */
  #notedIn: Database | null = null
  /** When the next list of steps also sweeps, on the monotonic clock. */
  #sweepDueMs = Number.NEGATIVE_INFINITY

  constructor(path: string, prefix: string, open: (path: string) => Database) {
    const transactions = new Transactions(path, open, () => this.#pushes.gap())
    const view = new View(prefix)
    this.#path = path
    this.#prefix = prefix
    this.#transactions = transactions
    this.#view = view
    this.#store = new Store(prefix)
    this.#pushes = new PushWatch({
      version: () => transactions.peek(db => db.get('PRAGMA data_version')?.data_version as number),
      granted: () => transactions.peek(db => view.granted(db, this.#client)),
      ended: () => transactions.peek(db => view.ended(db, this.#client)),
      // A busy database is looked at again. Any other fault is for the next transaction, at the latest a beat away: it opens
      // the database anew and rejects if the fault still stands.
      failed: error => isBusy(error) || transactions.discard(),
    })
  }

  open(client: string, listener: (event: StoreEvent) => void): void {
    this.#client = client
    this.#pushes.open(client, listener)
  }

  async run(steps: readonly Step[]): Promise<Answers> {
    const sweeps = monotonicMs() >= this.#sweepDueMs
    const client = this.#client
    let used: Database | null = null
    const work = (db: Database): Outcome => {
      used = db
      if (sweeps || db !== this.#notedIn) noteProcess(db, client, wallMs())
      const swept = sweeps ? this.#store.sweep(db) : null
      const outcome = this.#store.run(db, this.#client, steps)
      if (swept === null) return outcome
      return {
        ...outcome,
        handed: [...swept.handed.filter(grant => !isAskedFor(grant, steps)), ...outcome.handed],
        news: [...swept.news, ...outcome.news],
      }
    }
    let outcome: Outcome
    try {
      outcome = await this.#transactions.run('write', work, sweeps ? null : this.#alone(steps))
    } catch (error) {
      if (steps.length === 1 || isBusy(error) || error instanceof SoloistError) throw error
      return await this.#oneByOne(steps)
    }
    this.#notedIn = used ?? this.#notedIn
    if (sweeps) this.#sweepDueMs = monotonicMs() + BEAT_MS
    this.#follow(steps, outcome.steps)
    for (const grant of outcome.handed) this.#pushes.removeWaiting(grant)
    this.#pushes.deliver(outcome.news)
    return outcome
  }

  async watch(claim: ClaimId): Promise<WatchReply> {
    const reply = await this.#transactions.run('write', db => this.#store.watch(db, this.#client, claim))
    if (reply.status === 'live') this.#pushes.addWatching(claim)
    else this.#pushes.removeWatching(claim)
    return reply
  }

  async guard({ name, owner }: ClaimId, fence: number, tx: SqliteTransaction): Promise<boolean> {
    return guardIn(tx, this.#path, this.#prefix + name, owner, fence, wallMs)
  }

  async inspect(name: string): Promise<LockState | null> {
    return await this.#transactions.run('read', db => this.#view.inspect(db, name))
  }

  async *list(prefix: string): AsyncGenerator<LockState, void, undefined> {
    let from: Uint8Array | null = this.#view.firstPage(prefix)
    while (from !== null) {
      const start: Uint8Array = from
      const page = await this.#transactions.run('read', db => this.#view.page(db, prefix, start))
      yield* page.states
      from = page.next
    }
  }

  async close(): Promise<void> {
    this.#pushes.close()
    if (this.#notedIn !== null) await this.#forget()
    this.#transactions.close()
  }

  async #forget(): Promise<void> {
    this.#notedIn = null
    try {
      await this.#transactions.run('write', db => forgetProcess(db, this.#client))
    } catch {
      // It stays noted, which is true as long as this process runs, and is forgotten in time.
      this.#transactions.discard()
    }
  }

  /** A release that may take one statement only: half of all calls where nobody waits. */
  #alone(steps: readonly Step[]): ((db: Database) => Outcome | null) | null {
    const [step] = steps
    if (steps.length !== 1 || step?.kind !== 'release') return null
    return db => (db === this.#notedIn ? this.#store.releaseFree(db, step) : null)
  }

  /** A step that fails undoes the whole transaction, so each gets one of its own. */
  async #oneByOne(steps: readonly Step[]): Promise<Answers> {
    const parts: Answers[] = []
    for (const step of steps) {
      const alone = this.run([step])
      parts.push(await alone.catch((error: unknown) => ({ steps: [{ status: 'fault', error }], handed: [] })))
    }
    return { steps: parts.flatMap(part => part.steps), handed: parts.flatMap(part => part.handed) }
  }

  /** Which claims are waited with, and so looked for, after these steps. */
  #follow(steps: readonly Step[], answers: readonly Answer[]): void {
    for (const [i, step] of steps.entries()) {
      const answer = answers[i] as Answer
      if (step.kind === 'begin') continue
      if (step.kind === 'renew' || step.kind === 'release') {
        if (step.kind === 'release' || answer.status === 'held') this.#pushes.removeWaiting(step)
      } else if (answer.status === 'busy' && answer.ticket !== null && step.claim.durable !== true) {
        this.#pushes.addWaiting(step.claim)
      } else this.#pushes.removeWaiting(step.claim)
    }
  }
}

/** Whether the answer to one of these steps tells of the grant. */
function isAskedFor({ name, owner }: ClaimId, steps: readonly Step[]): boolean {
  return steps.some(step => 'claim' in step && step.claim.name === name && step.claim.owner === owner)
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
