import * as bullmq from 'bullmq'
import { type Claiming, heldBy } from '../../backends/redis/claiming.js'
import { type JobLockNames, SoloistError } from '../../index.js'
import { loadBullmqScripts } from '../../internal/peers/bullmq.js'
import type { BackendFactory } from './peer-types.js'

/** The scripts by which BullMQ adds a job that is no part of a flow. */
const SCRIPTS = ['addStandardJob', 'addDelayedJob', 'addPrioritizedJob'] as const
/** After this long without an answer, Redis counts as one that does not answer: the default of `callTimeoutMs`. */
const LATE_MS = 5_000
/** For how long the state of the connection is not looked up again. */
const SEEN_FOR_MS = 2

/** What BullMQ runs its scripts on: a client, or a pipeline of one. */
interface Runner {
  runCommand(name: string, args: unknown[]): unknown
}

interface Client extends Runner {
  readonly status: string
  readonly isCluster: boolean
  defineCommand(name: string, definition: { readonly numberOfKeys: number; readonly lua: string }): void
}

interface Script {
  readonly name: string
  /** How many keys BullMQ's own script takes. */
  readonly keys: number
}

/** What a job that is being added is to claim. */
export interface Claim {
  readonly jobId: string
  readonly names: JobLockNames
  /** Who is to hold the trigger lock. */
  readonly owner: string
  /** On the monotonic clock. */
  readonly sinceMs: number
}

/** The lock of a job is not free: the job was not added. */
export class Held extends Error {
  readonly holder: string

  constructor(holder: string) {
    super('the lock of the job is not free')
    this.holder = holder
  }
}

/**
 * Adds jobs by BullMQ's own scripts, each run within one of ours that claims the lock of the job: so lock and job are one
 * step. That takes locks on the queue's own Redis, which is no cluster, and a BullMQ whose scripts can be found.
 * What it costs, and why so: docs/decisions/one-step-for-bullmq.md.
 */
export class OneStep {
  readonly #claiming: Claiming
  /** By job id, in the order in which they were made. */
  readonly #claims = new Map<string, Claim>()
  /** By the name BullMQ knows them by, without its version. */
  readonly #scripts = new Map<string, Script>()
  #client: Client | null = null
  #ready = false
  #seenMs = Number.NEGATIVE_INFINITY
  /** The script that was run last, and the name BullMQ gave it: mostly the next one is the same. */
  #last: { readonly name: string; readonly script: Script } | null = null

  constructor(claiming: Claiming) {
    this.#claiming = claiming
  }

  /**
   * Whether it can be done. While Redis does not answer it is better to ask for the lock first, which has a bound.
   *
   * @param nowMs the present time of the monotonic clock
   */
  isReady(nowMs: number): boolean {
    if (nowMs - this.#seenMs >= SEEN_FOR_MS) {
      this.#seenMs = nowMs
      const { value: oldest } = this.#claims.values().next()
      const late = oldest !== undefined && nowMs - oldest.sinceMs >= LATE_MS
      this.#ready = this.#client?.status === 'ready' && !late
    }
    return this.#ready
  }

  /** @param client what a queue sends its commands by, when it is connected */
  use(client: Promise<unknown> | undefined): void {
    // A connection that fails is reported by BullMQ itself.
    client?.then(
      connected => this.#define(connected as Partial<Client>),
      () => null,
    )
  }

  /** From now on what adds this job goes {@link OneStep.through} here, and takes its lock. */
  begin(claim: Claim): void {
    this.#claims.set(claim.jobId, claim)
  }

  end({ jobId }: Claim): void {
    this.#claims.delete(jobId)
  }

  /**
   * What BullMQ is to add this job by in place of `runner`. Where the lock is held it rejects with {@link Held}, or, in a
   * pipeline, has what {@link isHeldInstead} knows for the job's id.
   */
  through<R>(runner: R, jobId: string | undefined): R {
    const claim = jobId === undefined ? undefined : this.#claims.get(jobId)
    if (claim === undefined) return runner
    return { runCommand: (name: string, args: unknown[]) => this.#run(runner as Runner, claim, name, args) } as R
  }

  #run(runner: Runner, claim: Claim, name: string, args: unknown[]): unknown {
    const script = this.#scriptFor(name)
    args.splice(script.keys, 0, this.#claiming.keyOf(claim.names.trigger))
    args.push(claim.owner)
    const answer = runner.runCommand(script.name, args)
    return runner === this.#client ? (answer as Promise<unknown>).then(jobIdOf) : answer
  }

  #scriptFor(name: string): Script {
    if (this.#last?.name === name) return this.#last.script
    const script = this.#scripts.get(name.slice(0, name.indexOf(':')))
    if (script === undefined) throw new SoloistError('BACKEND_UNAVAILABLE', `BullMQ has no known script ${name}`)
    this.#last = { name, script }
    return script
  }

  #define(client: Partial<Client>): void {
    if (client.isCluster !== false || client.runCommand === undefined || client.defineCommand === undefined) return
    const all = loadBullmqScripts()
    for (const name of SCRIPTS) {
      const { content, keys } = all?.[name] ?? {}
      const lua = typeof content === 'string' ? this.#claiming.around(content) : null
      if (lua === null || keys === undefined) return
      const ours = `soloist:${name}`
      client.defineCommand(ours, { numberOfKeys: keys + 1, lua })
      this.#scripts.set(name, { name: ours, keys })
    }
    this.#client = client as Client
  }
}

/** Whether a job has this instead of its id since its lock is held. */
export function isHeldInstead(id: unknown): boolean {
  return heldBy(id) !== null
}

/** @throws Held */
function jobIdOf(answer: unknown): unknown {
  const holder = heldBy(answer)
  if (holder !== null) throw new Held(holder)
  return answer
}

/**
 * A backend as BullMQ 6 makes it for Redis, that adds jobs through `oneStep`; `undefined` where BullMQ has another default.
 * BullMQ 5 has no backends: there a job is asked how to add it.
 */
export function backendThrough(oneStep: OneStep): BackendFactory | undefined {
  const { createRedisBackend, getDefaultBackendFactory } = bullmq as Partial<typeof bullmq>
  if (createRedisBackend === undefined || getDefaultBackendFactory?.() !== createRedisBackend) return undefined
  return (name, opts, connections) => {
    const backend = createRedisBackend(name, opts, connections)
    const add = backend.addJobToTransaction.bind(backend)
    backend.addJobToTransaction = (client, job, jobId, ...rest) =>
      add(oneStep.through(client, jobId), job, jobId, ...rest)
    oneStep.use(backend.client)
    return backend
  }
}
