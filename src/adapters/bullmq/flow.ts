import { randomBytes } from 'node:crypto'
import { type FlowJob, type FlowOpts, FlowProducer, type Job, type JobNode, type MinimalQueue } from 'bullmq'
import { SoloistError } from '../../index.js'
import { addingFailed, asSoloistError } from './adding/failures.js'
import { FlowTriggers, type PlacedFlow } from './adding/flow-triggers.js'
import type { SingletonOutcome } from './adding/outcome.js'
import { Producer } from './adding/producer.js'
import { Fused } from './fused/fused.js'
import { jobClassFor } from './job.js'
import { Answering } from './lock/answering.js'
import { closeAll, closeMade, isOnRedis } from './lock/connection.js'
import { Singleton } from './lock/events.js'
import { Lives } from './lock/lives.js'
import { parseOwner } from './lock/owner.js'
import { checkConnection, openStore, type Store } from './lock/store.js'
import { type Definition, invalid } from './options/definition.js'
import { checkSettings, type SingletonSettings } from './options/settings.js'
import type { BackendFactory, FlowProducerOptions } from './peer-types.js'
import { Waking } from './running/waking.js'
import { fuse, fusedOf, isPlainPrefix, opener } from './side.js'

export interface SingletonFlowProducerOptions extends FlowProducerOptions {
  /** By job name, whatever the queue. `onBackendFault` is not for flows: they fail. */
  readonly singleton: Omit<SingletonSettings, 'onBackendFault'>
}

/**
 * A BullMQ flow producer whose jobs are unique, too. A flow is added as a whole or not at all: where a job of it is live
 * already, `reject` refuses the flow. With `join` and `skip` at its root the live root stands for all of it. Every other job is
 * added, to run after the live one, since its parent waits for its result.
 */
export class SingletonFlowProducer extends FlowProducer {
  readonly singleton: Singleton
  readonly #store: Store
  readonly #answering: Answering
  readonly #lives: Lives
  readonly #waking: Waking
  readonly #triggers: FlowTriggers
  readonly #fused: Fused | null
  readonly #jobs: ReadonlyMap<string, Definition>

  /** @param backendFactory as BullMQ's; with one, `singleton.solo` is needed */
  constructor(options: SingletonFlowProducerOptions, backendFactory?: BackendFactory) {
    const { singleton: settings, ...opts } = options
    const { graceMs, jobs } = checkSettings(settings)
    const prefix = checkConnection(settings, opts.connection, backendFactory)
    super(opts, backendFactory as undefined)
    this.#jobs = jobs
    // As BullMQ does: who does not listen is told by the call that fails.
    const onError = (error: Error): void => {
      if (this.listenerCount('error') > 0) this.emit('error', error)
    }
    this.#store = openStore(settings, opts.connection, backendFactory, onError)
    const { solo } = this.#store
    const singleton = new Singleton(solo)
    this.singleton = singleton
    // Every job is looked for in its own queue.
    const open = opener(opts, backendFactory, onError)
    this.#answering = new Answering(this)
    const home = { qualifiedName: '', queue: null as unknown as MinimalQueue, open }
    this.#lives = new Lives({ ...home, answering: this.#answering })
    this.#waking = new Waking(solo, this.#lives, jobs, (error, id) =>
      singleton.emit('fault', { during: 'wake', error, id }),
    )
    const fused = prefix === null || !isPlainPrefix(prefix) ? null : new Fused()
    this.#fused = fused
    const fusible = fused === null ? Promise.resolve(false) : fuse(this, fused)
    if (fused !== null) fuseNodes(this, fused)
    const unused = () => Promise.reject(new Error('flows are added by BullMQ'))
    const producer = new Producer<never>({
      ...{ qualifiedName: '', solo, lives: this.#lives, singleton, definitions: jobs, graceMs },
      ...{
        answering: this.#answering,
        ask: () => this.#ask(),
        onBackendFault: 'fail',
        fused,
        fusible,
        prefix: prefix ?? '',
      },
      // A queue's own clients find it.
      onStranger: () => {},
      ...{ add: unused, addBulk: unused, answer: () => undefined as never, answerPlain: () => undefined as never },
    })
    this.#triggers = new FlowTriggers({
      producer,
      singleton,
      definitions: jobs,
      flags: `${prefix}flow:`,
      token: () => randomBytes(9).toString('base64url'),
      qualifiedName: (queue, of) => this.#qualifiedName(queue, of),
    })
  }

  protected override get Job(): typeof Job {
    return jobClassFor(super.Job)
  }

  /**
   * As BullMQ's.
   *
   * Held after abort or rejection: nothing, unless the flow is there all the same, its answer lost: then its jobs have their locks.
   * Other locks that were taken are given back; where the store or the queue does not answer, others take them over after
   * `graceMs`.
   *
   * @throws SoloistError `DUPLICATE_JOB`; `INVALID_ARGUMENT` also when a job is the same as one it is a part of, for they
   *   would wait for each other; `BACKEND_UNAVAILABLE`: the flow may be there; `LOCK_TIMEOUT`; `CLOSED`. Else nothing
   *   was added.
   */
  override async add(flow: FlowJob, opts?: FlowOpts): Promise<JobNode> {
    const [added] = await this.#addAll([flow], async ([placed]) => [await super.add(placed as FlowJob, opts)])
    return added as JobNode
  }

  /**
   * As {@link SingletonFlowProducer.add}, for all of the flows or none.
   *
   * Held after abort or rejection: as after {@link SingletonFlowProducer.add}, of all flows.
   */
  override async addBulk(flows: FlowJob[]): Promise<JobNode[]> {
    await this.#checkParents(flows)
    return await this.#addAll(flows, placed => super.addBulk(placed))
  }

  /**
   * As BullMQ's.
   *
   * Held after abort or rejection: the locks of the jobs that were added, as ever: they belong to the jobs.
   */
  override async close(): Promise<void> {
    await closeAll(
      () => closeMade(this, this.opts.connection, () => super.close()),
      async () => this.#fused?.ended(),
      () => this.#waking.close(),
      () => this.#lives.close(),
      () => this.#store.close(),
    )
  }

  /** BullMQ's bulk does not tell that a flow was not added, since the parent that its root is to have is not there. */
  async #checkParents(flows: readonly FlowJob[]): Promise<void> {
    for (const flow of flows) {
      const parent = flow.opts?.parent
      if (!parent || !this.#hasSingletons(flow)) continue
      const { queue, id } = parent
      let job: Job | null
      try {
        job = await this.#lives.find({ queue: String(queue), jobId: String(id), period: false })
      } catch (error) {
        throw asSoloistError(error, true)
      }
      if (job === null) throw invalid(`flow ${JSON.stringify(flow.name)}: there is no parent job ${queue}:${id}`)
    }
  }

  #hasSingletons({ name, children = [] }: FlowJob): boolean {
    return this.#jobs.has(name) || children.some(child => this.#hasSingletons(child as FlowJob))
  }

  async #addAll(
    flows: readonly FlowJob[],
    add: (flows: FlowJob[]) => Promise<(JobNode | undefined)[] | undefined>,
  ): Promise<JobNode[]> {
    const placement = await this.#triggers.place(flows)
    const kept = placement.flows.filter(({ live }) => live === null)
    let nodes: JobNode[] = []
    try {
      const all = () => add(kept.map(({ flow }) => flow))
      if (kept.length > 0) {
        const told = await (placement.fused ? all() : this.#answering.call(all, placement.jobs))
        // While it is being closed BullMQ adds nothing, and says nothing.
        if (!isWhole(told)) throw closed()
        nodes = told
      }
    } catch (error) {
      await this.#triggers.giveBack(placement.flows, error)
      const ask = () => this.#ask()
      throw await addingFailed(error, this.#triggers.wasSent(placement.flows), { isOnRedis: isOnRedis(this), ask })
    } finally {
      await placement.end()
    }
    const added: JobNode[] = []
    for (const one of placement.flows) {
      const node = one.live === null ? (nodes.shift() as JobNode) : null
      const told = this.#triggers.conclude(one, node)
      added.push(told.live === null ? (node as JobNode) : await this.#liveRoot(one, told.live, node))
    }
    return added
  }

  async #ask(): Promise<void> {
    // It would answer without asking.
    if (this.closing !== undefined) throw closed()
    await super.getFlow({ queueName: '-', id: '-', depth: 1 })
  }

  /** The live job that stands for a flow. */
  async #liveRoot({ flow }: PlacedFlow, outcome: SingletonOutcome, node: JobNode | null): Promise<JobNode> {
    const owner = parseOwner(outcome.owner ?? '')
    let job: Job | null = null
    try {
      if (owner !== null) job = await this.#lives.find(owner)
    } catch (error) {
      if (node === null) throw asSoloistError(error, true)
      this.singleton.emit('fault', { during: 'add', error, id: outcome.id })
    }
    const stands = job ?? node?.job
    if (stands === undefined)
      throw asSoloistError(new Error(`the job ${outcome.id} of flow ${flow.name} is gone`), false)
    return { job: Object.assign(stands, { singleton: outcome }) }
  }

  #qualifiedName(queueName: string, prefix = this.opts.prefix): string {
    // BullMQ 5 has no backends.
    const backend = (this as Partial<Pick<FlowProducer, 'getBackend'>>).getBackend?.call(this)
    return backend?.forQueue(queueName, prefix).qualifiedName ?? `${prefix ?? 'bull'}:${queueName}`
  }
}

function isWhole(nodes: (JobNode | undefined)[] | undefined): nodes is JobNode[] {
  return nodes?.every(node => node !== undefined) === true
}

function closed(): SoloistError {
  return new SoloistError('CLOSED', 'this flow producer was closed')
}

/** Each job of a flow has a queue of its own, by which it finds what it is added with. */
function fuseNodes(flows: object, fused: Fused): void {
  type Making = (...args: unknown[]) => object
  const make = (flows as { queueFromNode: Making }).queueFromNode.bind(flows)
  const value: Making = (...args) => {
    const queue = make(...args)
    fusedOf.set(queue, fused)
    return queue
  }
  Object.defineProperty(flows, 'queueFromNode', { value, configurable: true })
}
