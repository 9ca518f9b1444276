import { type Job, type JobType, type MinimalQueue, Queue, type QueueOptions } from 'bullmq'
import { checkOptionNames, checkOptions, type OptionNames } from '../../internal/check.js'
import { asSoloistError } from './adding/failures.js'
import type { AddingHow } from './adding/host.js'
import { Producer } from './adding/producer.js'
import { ADDING, type Adding, Fused, type Runner, type ScriptRunner } from './fused/fused.js'
import { Answering } from './lock/answering.js'
import { besideSilence, closeAll, isOnRedis } from './lock/connection.js'
import { Singleton } from './lock/events.js'
import { Lives } from './lock/lives.js'
import { ownerOf } from './lock/owner.js'
import { openStore, type Store } from './lock/store.js'
import { jobNameOf, termsOf } from './lock/terms.js'
import { sweep } from './lock/tidying/sweep.js'
import { Tidying } from './lock/tidying/tidying.js'
import { checkSettings, type SingletonSettings } from './options/settings.js'
import type { BackendFactory } from './peer-types.js'
import { Waking } from './running/waking.js'

interface SweepOptions {
  readonly prefix?: string | undefined
}

const SWEEP_OPTION_NAMES: OptionNames<SweepOptions> = { prefix: true }

/** How many jobs that are to be removed are looked at in one call. */
const REMOVED_AT_ONCE = 500

/** How often a queue's locks are tidied: as by a worker, by default. */
const TIDY_MS = 30_000

/** Where a job finds what runs the scripts of its queue within ours. */
export const fusedOf: WeakMap<object, Fused> = new WeakMap()

/** What of a queue, worker or flow producer is taken the place of. */
interface Made {
  /** BullMQ 5 has no backends. */
  getBackend?(): Backend
  readonly scripts?: ScriptRunner
  readonly client?: Promise<unknown>
  readonly connection?: { readonly client: Promise<unknown> }
}

interface Backend extends ScriptRunner {
  readonly client: Promise<unknown>
  addJobToTransaction(client: Runner, job: { readonly opts: object }, ...rest: unknown[]): Promise<string>
}

/** Makes what runs the scripts of a queue, worker or flow producer run ours. @returns whether it can, once it is connected */
export async function fuse(made: object, fused: Fused): Promise<boolean> {
  fusedOf.set(made, fused)
  const { scripts, client, connection } = made as Made
  const backend = (made as Made).getBackend?.call(made)
  if (backend === undefined) {
    if (scripts !== undefined) fused.install(scripts)
    return await fused.use((client ?? connection?.client) as Promise<unknown>)
  }
  fused.install(backend)
  const add = backend.addJobToTransaction.bind(backend)
  backend.addJobToTransaction = (runner, job, ...rest) => add(throughFused(made, runner, job.opts), job, ...rest)
  return await fused.use(backend.client)
}

/** What a job is to be added by in place of `runner`, where it has something to be added with. */
export function throughFused<R>(made: object, runner: R, opts: object): R {
  const adding = (opts as { [ADDING]?: Adding })[ADDING]
  if (adding === undefined)
    return runner
    // Not deleted: an object that lost a property is slow ever after.
  ;(opts as { [ADDING]?: Adding | undefined })[ADDING] = undefined
  return (fusedOf.get(made)?.through(runner, adding) ?? runner) as R
}

/** What a queue of singleton jobs has beside BullMQ's own. */
export class QueueSide<A> {
  readonly singleton: Singleton
  readonly producer: Producer<A>
  readonly #queue: Queue
  readonly #store: Store
  readonly #lives: Lives
  readonly #fused: Fused | null
  readonly #waking: Waking
  readonly #tidying: Tidying
  readonly #prefix: string
  readonly #graceMs: number
  #fuses = false

  /** @param prefix what the keys of the locks on the queue's Redis start with; `null` when they are elsewhere */
  constructor(
    queue: Queue,
    settings: SingletonSettings,
    backendFactory: BackendFactory | undefined,
    how: AddingHow<A>,
    prefix: string | null,
  ) {
    const { graceMs, onBackendFault, jobs } = checkSettings(settings)
    const onError = (error: Error): void => void queue.emit('error', error)
    this.#queue = queue
    this.#store = openStore(settings, queue.opts.connection, backendFactory, onError)
    const { solo } = this.#store
    this.singleton = new Singleton(solo)
    const { qualifiedName } = queue
    const answering = new Answering(queue)
    this.#lives = new Lives({
      qualifiedName,
      queue: queue as unknown as MinimalQueue,
      open: opener(queue.opts, backendFactory, onError),
      answering,
    })
    this.#fused = prefix === null || !isPlainPrefix(prefix) ? null : new Fused()
    this.#prefix = prefix ?? ''
    this.#graceMs = graceMs
    const fusible = this.#fused === null ? Promise.resolve(false) : fuse(queue, this.#fused)
    if (this.#fused === null && isOnRedis(queue)) fuse(queue, new Fused(null)).catch(() => null)
    fusible.then(
      can => {
        this.#fuses = can
      },
      () => null,
    )
    this.#tidying = new Tidying({
      ...{ queue: qualifiedName, prefix: this.#prefix, locks: solo.jobs, lives: this.#lives, graceMs },
      everyMs: TIDY_MS,
      fused: () => (this.#fuses ? this.#fused : null),
      onLapse: (id, lock) => {
        const name = jobNameOf({ lock })
        this.singleton.count(name, 'lapsed')
        this.singleton.emit('lapsed', { name, id, lock, action: 'ended' })
      },
      onFault: error => this.singleton.emit('fault', { during: 'tidy', error }),
    })
    this.producer = new Producer({
      ...{ qualifiedName, solo, graceMs, onBackendFault, fusible, answering },
      ask: () => this.#lives.ask(),
      onStranger: lock => this.#tidying.notice(lock),
      ...{ lives: this.#lives, singleton: this.singleton, definitions: jobs, fused: this.#fused, prefix: this.#prefix },
      ...how,
    })
    this.#waking = new Waking(solo, this.#lives, jobs, (error, id) =>
      this.singleton.emit('fault', { during: 'wake', error, id }),
    )
  }

  /** Gives up the locks of jobs that were removed, where that is a step of its own. */
  async removed(job: Job, lock: string, owner: string): Promise<void> {
    if (this.#fuses) return
    try {
      await this.#store.solo.jobs.release(lock, owner)
    } catch (error) {
      // It is taken over, since its job is not there.
      this.singleton.emit('fault', { during: 'remove', error, id: job.id })
    }
  }

  /** @throws SoloistError */
  async own(jobId: string): Promise<Job | undefined> {
    try {
      return await this.#lives.own(jobId)
    } catch (error) {
      throw asSoloistError(error, true)
    }
  }

  /**
   * To be called before jobs of these states are removed.
   *
   * @returns gives up what those had that are gone by then. Never rejects
   * @throws SoloistError
   */
  async removing(states: readonly JobType[]): Promise<() => Promise<void>> {
    if (this.#fuses) return () => this.#tidying.removed()
    const claims: { readonly id: string; readonly lock: string; readonly owner: string }[] = []
    try {
      for (let from = 0; states.length > 0; from += REMOVED_AT_ONCE) {
        const jobs = await this.#queue.getJobs([...states], from, from + REMOVED_AT_ONCE - 1)
        for (const job of jobs) {
          const terms = termsOf(job ?? {})
          if (terms === null || terms.mode === 'untilExpired') continue
          const id = job.id as string
          claims.push({ id, lock: terms.lock, owner: ownerOf(this.#queue.qualifiedName, id, false) })
        }
        if (jobs.length === 0) break
      }
    } catch (error) {
      throw asSoloistError(error, true)
    }
    return async () => {
      for (let from = 0; from < claims.length; from += REMOVED_AT_ONCE) {
        await Promise.all(claims.slice(from, from + REMOVED_AT_ONCE).map(claim => this.#gone(claim)))
      }
    }
  }

  async #gone({ id, lock, owner }: { id: string; lock: string; owner: string }): Promise<void> {
    try {
      if ((await this.#lives.own(id)) === undefined) await this.#store.solo.jobs.release(lock, owner)
    } catch (error) {
      // It is taken over, since its job is not there.
      this.singleton.emit('fault', { during: 'remove', error, id })
    }
  }

  async sweep(options: SweepOptions): Promise<number> {
    checkOptions(options)
    checkOptionNames(options, SWEEP_OPTION_NAMES)
    return await this.#sweep(options.prefix, false)
  }

  /** Gives up the locks of jobs that were removed with their whole queue. @throws SoloistError */
  async obliterated(): Promise<void> {
    await this.#sweep(undefined, true)
    const { qualifiedName } = this.#queue
    if (!this.#fuses) return
    try {
      await this.#fused?.own('forget', [
        `${qualifiedName}:soloist`,
        `${qualifiedName}:soloist-swept`,
        `${qualifiedName}:soloist-tidied`,
      ])
    } catch (error) {
      throw asSoloistError(error, true)
    }
  }

  async close(): Promise<void> {
    this.#fused?.ended()
    await closeAll(
      () => this.#tidying.close(),
      () => this.#waking.close(),
      () => this.#lives.close(),
      () => this.#store.close(),
    )
  }

  async #sweep(prefix: string | undefined, vanished: boolean): Promise<number> {
    const host = {
      solo: this.#store.solo,
      lives: this.#lives,
      queue: this.#queue.qualifiedName,
      fused: this.#fuses ? this.#fused : null,
      prefix: this.#prefix,
      graceMs: this.#graceMs,
    }
    try {
      return await sweep(host, prefix, vanished)
    } catch (error) {
      throw asSoloistError(error, true)
    }
  }
}

/** Braces decide in which slot of a cluster a key is. */
export function isPlainPrefix(prefix: string): boolean {
  return !/["\\{}]/.test(prefix) && prefix.isWellFormed()
}

/** Opens other queues with the connection of one, to look for jobs in them. */
export function opener(
  opts: Pick<QueueOptions, 'connection'>,
  backendFactory: BackendFactory | undefined,
  onError: (error: Error) => void,
): (name: string, prefix: string) => Queue {
  const connection = besideSilence(opts.connection)
  return (name, prefix) => {
    const options = { connection, prefix, skipMetasUpdate: true }
    const queue = new Queue(name, options, backendFactory as undefined)
    queue.on('error', onError)
    return queue
  }
}
