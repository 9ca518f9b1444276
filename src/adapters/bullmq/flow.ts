import { type FlowJob, type FlowOpts, FlowProducer, type Job, type JobNode, type MinimalQueue } from 'bullmq'
import { withCarried } from './carried.js'
import { type Definition, invalid } from './definition.js'
import { Singleton } from './events.js'
import type { SingletonJob } from './job.js'
import { Lives } from './life.js'
import type { Addition } from './outcome.js'
import { parseOwner, queuedOwner } from './owner.js'
import type { BackendFactory, FlowProducerOptions } from './peer-types.js'
import { checkSettings, type SingletonSettings } from './queue-side.js'
import { checkConnection, openStore, type Store } from './store.js'
import { Trigger } from './trigger.js'
import { Triggers } from './triggers.js'
import { opener } from './worker-side.js'

export interface SingletonFlowProducerOptions extends FlowProducerOptions {
  /** By job name, whatever the queue. `onBackendFault` is not for flows: they fail. */
  readonly singleton: Omit<SingletonSettings, 'onBackendFault'>
}

/** A node whose lock was taken, or which waits for a live job. */
interface Placed {
  readonly trigger: Trigger
  readonly addition: Addition
}

/**
 * A BullMQ flow producer whose jobs are unique, too. A flow is added as a whole or not at all: where a job of it is live
 * already, `reject` refuses the flow, and every other strategy adds the job to run after the live one, since its parent
 * waits for its result.
 */
export class SingletonFlowProducer extends FlowProducer {
  readonly singleton: Singleton
  readonly #definitions: ReadonlyMap<string, Definition>
  readonly #store: Store
  readonly #lives: Lives
  readonly #triggers: Triggers

  /** @param backendFactory as BullMQ's; with one, `singleton.solo` is needed */
  constructor(options: SingletonFlowProducerOptions, backendFactory?: BackendFactory) {
    const { singleton: settings, ...opts } = options
    const { graceMs, jobs } = checkSettings(settings)
    checkConnection(settings, opts.connection, backendFactory)
    super(opts, backendFactory as undefined)
    // As BullMQ does: who does not listen is told by the call that fails.
    const onError = (error: Error): void => {
      if (this.listenerCount('error') > 0) this.emit('error', error)
    }
    this.#definitions = jobs
    this.#store = openStore(settings, opts.connection, backendFactory, onError)
    const { solo } = this.#store
    this.singleton = new Singleton(solo)
    // Every job is looked for in its own queue.
    const home = {
      qualifiedName: '',
      queue: null as unknown as MinimalQueue,
      open: opener(opts, backendFactory, onError),
    }
    this.#lives = new Lives(home, this.#store, graceMs)
    this.#triggers = new Triggers({ solo, lives: this.#lives, graceMs })
  }

  /**
   * As BullMQ's.
   *
   * Held after abort or rejection: nothing. Locks that were taken are given back; where the store does not answer,
   * others take them over after `graceMs`.
   *
   * @throws SoloistError `DUPLICATE_JOB`; `INVALID_ARGUMENT` also when a job is the same as one it is a part of, for they
   *   would wait for each other; `BACKEND_UNAVAILABLE`; `LOCK_TIMEOUT`. Nothing was added then.
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
    return await this.#addAll(flows, placed => super.addBulk(placed))
  }

  /**
   * As BullMQ's.
   *
   * Held after abort or rejection: the locks of the jobs that were added, as ever: they belong to the jobs.
   */
  override async close(): Promise<void> {
    await super.close()
    await this.#lives.close()
    await this.#store.close()
  }

  async #addAll(flows: readonly FlowJob[], add: (flows: FlowJob[]) => Promise<JobNode[]>): Promise<JobNode[]> {
    const placed = new Map<string, Placed>()
    const locks = new Set<string>()
    try {
      const nodes: FlowJob[] = []
      for (const flow of flows) nodes.push(await this.#place(flow, placed, locks, []))
      const added = await add(nodes)
      await this.#added(added, placed)
      // BullMQ may have turned these away.
      await this.#giveBack([...placed].filter(([, { trigger }]) => trigger.opts?.deduplication !== undefined))
      return added
    } catch (error) {
      await this.#giveBack([...placed])
      throw error
    }
  }

  /** Takes the locks of a node and of all below it. @returns a copy of it, with what its jobs carry */
  async #place(
    node: FlowJob,
    placed: Map<string, Placed>,
    locks: Set<string>,
    above: readonly string[],
  ): Promise<FlowJob> {
    const trigger = this.#trigger(node)
    const opts: Pick<FlowJob, 'opts'> = node.opts === undefined ? {} : { opts: node.opts }
    let around = above
    if (trigger !== null) {
      const lock = trigger.names.trigger
      if (above.includes(lock)) throw invalid(`job ${JSON.stringify(node.name)} is part of one that is the same`)
      const addition = locks.has(lock)
        ? this.#triggers.unasked(trigger, 'deferred', true)
        : await this.#triggers.inFlow(trigger)
      locks.add(lock)
      placed.set(trigger.owner, { trigger, addition })
      opts.opts = withCarried(node.opts, trigger.jobId, addition.carried) as NonNullable<FlowJob['opts']>
      around = [...above, lock]
    }
    const children: FlowJob['children'] = []
    for (const child of node.children ?? []) {
      children.push(
        (await this.#place(child as FlowJob, placed, locks, around)) as NonNullable<FlowJob['children']>[number],
      )
    }
    return { ...node, ...opts, ...(node.children === undefined ? {} : { children }) } as FlowJob
  }

  #trigger({ name, data, queueName, prefix, opts }: FlowJob): Trigger | null {
    const definition = this.#definitions.get(name)
    return definition === undefined ? null : new Trigger(definition, this.#qualifiedName(queueName, prefix), data, opts)
  }

  #qualifiedName(queueName: string, prefix = this.opts.prefix): string {
    // BullMQ 5 has no backends.
    const backend = (this as Partial<Pick<FlowProducer, 'getBackend'>>).getBackend?.call(this)
    return backend?.forQueue(queueName, prefix).qualifiedName ?? `${prefix ?? 'bull'}:${queueName}`
  }

  async #added(nodes: readonly JobNode[], placed: ReadonlyMap<string, Placed>): Promise<void> {
    for (const { job, children } of nodes) {
      const found = placed.get(queuedOwner(job.queueQualifiedName, job.id as string))
      if (found !== undefined) {
        const { trigger, addition } = found
        ;(job as Job & Pick<SingletonJob, 'singleton'>).singleton = addition.outcome
        this.singleton.count(trigger.definition.name, addition.outcome.status)
        try {
          await addition.after?.()
        } catch (error) {
          // The worker that starts the job sees to it.
          this.singleton.emit('fault', { during: 'trigger', error, id: trigger.jobId })
        }
      }
      await this.#added(children ?? [], placed)
    }
  }

  /** Gives up what was taken for jobs that are not there. */
  async #giveBack(placed: readonly (readonly [string, Placed])[]): Promise<void> {
    for (const [owner, { trigger, addition }] of placed) {
      const parsed = parseOwner(owner)
      if (addition.holds === null || parsed === null) continue
      try {
        const job = await this.#lives.find(parsed)
        if (job === null || job === 'elsewhere') await this.#store.solo.jobs.release(addition.holds, owner)
      } catch (error) {
        // It is taken over after the grace time, since its job is not there.
        this.singleton.emit('fault', { during: 'add', error, id: trigger.jobId })
      }
    }
  }
}
