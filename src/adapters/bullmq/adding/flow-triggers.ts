import type { FlowJob, JobNode } from 'bullmq'
import { DuplicateJobError, type JobStrategy } from '../../../index.js'
import type { Answer } from '../fused/answer.js'
import { ADDING, type Adding } from '../fused/fused.js'
import type { Singleton } from '../lock/events.js'
import { type Definition, invalid } from '../options/definition.js'
import { asSoloistError } from './failures.js'
import { conclude, duplicate, type SingletonOutcome, started } from './outcome.js'
import type { Producer } from './producer.js'
import { Trigger } from './trigger.js'

export interface FlowHost {
  readonly producer: Producer<never>
  readonly singleton: Singleton
  readonly definitions: ReadonlyMap<string, Definition>
  /** What the keys start with by which the scripts of one flow tell each other. */
  readonly flags: string
  token(): string
  qualifiedName(queue: string, prefix: string | undefined): string
}

/** A job of a flow, with its lock or a place in the lock's queue, or about to have one. */
interface PlacedJob {
  readonly trigger: Trigger
  readonly adding: Adding | null
  readonly answer: Answer | null
}

/** A flow that is about to be added. */
export interface PlacedFlow {
  readonly flow: FlowJob
  readonly root: Trigger | null
  /** By job id. */
  readonly jobs: Map<string, PlacedJob>
  /** Its jobs that are no singletons. */
  readonly others: Adding[]
  /** What stands for all of it; `null`: it is to be added. */
  live: SingletonOutcome | null
}

/** What the scripts of one flow are told, see `fused/scripts/add.lua`. */
interface FlowToken {
  readonly flags: readonly string[]
  readonly checks?: readonly { readonly terms: string; readonly flag: string; readonly index: string }[]
}

/** A job with these at the root of a flow stands for all of it when it is live. */
const WHOLE: ReadonlySet<unknown> = new Set(['join', 'skip'])

/** Finds out what is in the way of the jobs of flows. */
export class FlowTriggers {
  readonly #host: FlowHost

  constructor(host: FlowHost) {
    this.#host = host
  }

  /** @throws SoloistError when one of the flows is refused: nothing is held then */
  async place(flows: readonly FlowJob[]): Promise<PlacedFlow[]> {
    const fused = await this.#host.producer.ready()
    const all: PlacedFlow[] = []
    const locks = new Set<string>()
    const checks: NonNullable<FlowToken['checks']>[number][] = []
    const token = this.#host.flags + this.#host.token()
    try {
      for (const [i, flow] of flows.entries()) {
        const placed: PlacedFlow = { flow, root: this.#trigger(flow), jobs: new Map(), others: [], live: null }
        all.push(placed)
        const flags: FlowToken = { flags: [token, `${token}:${i}`] }
        const copy = await this.#place(flow, placed, [], fused, flags, checks, locks, true)
        all[i] = { ...placed, flow: copy, live: placed.live }
      }
    } catch (error) {
      await this.giveBack(all)
      throw asSoloistError(error, true)
    }
    this.#tell(all, token, checks)
    return all
  }

  /** Whether anything was sent that adds a job; `null`: that is not known, since locks are taken by steps of their own. */
  wasSent(flows: readonly PlacedFlow[]): boolean | null {
    const addings = flows.flatMap(({ jobs, others }) => [...others, ...[...jobs.values()].map(({ adding }) => adding)])
    return addings.length === 0 || addings.includes(null) ? null : addings.some(adding => adding?.sent === true)
  }

  /** Gives up what was taken for jobs that are not there. */
  async giveBack(flows: readonly PlacedFlow[]): Promise<void> {
    for (const { jobs } of flows) {
      for (const { trigger, adding } of jobs.values()) {
        if (adding === null) await this.#host.producer.giveUp(trigger)
      }
    }
  }

  /**
   * Tells each job of a flow that was added what became of it.
   *
   * @returns `live`: what stands for the flow, if it was not added
   * @throws DuplicateJobError when it was refused
   */
  conclude(placed: PlacedFlow, node: JobNode | null): { readonly live: SingletonOutcome | null } {
    if (placed.live !== null || node === null) {
      if (placed.root !== null) this.#host.singleton.count(placed.root.name, 'duplicate')
      return { live: placed.live }
    }
    const refused = [...placed.jobs.values()]
      .map(({ adding }) => adding?.answer)
      .find(answer => answer?.course === 'refused')
    const other = placed.others.find(({ answer }) => answer?.course === 'refused')?.answer
    const answer = refused ?? other ?? null
    if (answer !== null) return this.#refused(placed, answer)
    this.#concludeAll(node, placed)
    return { live: null }
  }

  #refused(placed: PlacedFlow, answer: Answer): { readonly live: SingletonOutcome | null } {
    const [met] = [answer.running]
    const trigger = [...placed.jobs.values()].map(job => job.trigger).find(({ jobId }) => jobId === answer.id)
    const of = trigger ?? placed.root
    if (met === null || of === null)
      throw new DuplicateJobError({ job: placed.flow.name, id: answer.id, state: 'queued', ageMs: null })
    this.#host.singleton.count(of.name, 'duplicate')
    if (of !== placed.root || !WHOLE.has(of.definition.strategy)) throw duplicate(of, met)
    return { live: conclude(of, of.definition.strategy as JobStrategy, { ...answer, course: 'met' }).outcome }
  }

  #concludeAll({ job, children }: JobNode, placed: PlacedFlow): void {
    const found =
      placed.jobs.get(job.id as string) ?? [...placed.jobs.values()].find(({ adding }) => adding?.answer?.id === job.id)
    if (found !== undefined) {
      const { trigger, adding } = found
      const answer = adding === null ? found.answer : adding.answer
      const outcome = answer === null ? started(trigger.jobId) : conclude(trigger, 'delay', answer).outcome
      Object.assign(job, { id: outcome.id, singleton: outcome })
      this.#host.singleton.count(trigger.name, outcome.status)
    }
    for (const child of children ?? []) this.#concludeAll(child, placed)
  }

  /** @returns a copy of a node and of all below it, with what its jobs are added with */
  async #place(
    node: FlowJob,
    placed: PlacedFlow,
    above: readonly string[],
    fused: boolean,
    token: FlowToken,
    checks: { terms: string; flag: string; index: string }[],
    locks: Set<string>,
    isRoot: boolean,
  ): Promise<FlowJob> {
    const trigger = isRoot ? placed.root : this.#trigger(node)
    let [opts, around] = [node.opts as object | undefined, above]
    if (trigger === null) {
      if (fused) {
        const adding: Adding = {
          terms: '',
          todo: '',
          meta: '',
          freshId: '',
          flow: null,
          owner: '',
          answer: null,
          sent: false,
        }
        placed.others.push(adding)
        opts = { ...opts, [ADDING]: adding }
      }
    } else {
      const { lock, jobId, definition } = trigger
      if (above.includes(lock)) throw invalid(`job ${JSON.stringify(node.name)} is part of one that is the same`)
      around = [...above, lock]
      if (fused && trigger.isPlain) {
        const { adding, terms } = this.#host.producer.inFlow(trigger)
        // Its children are told its id.
        const bound = trigger.hasOwnId && (node.children?.length ?? 0) > 0
        const own = bound ? { ...adding, freshId: '-' } : adding
        placed.jobs.set(jobId, { trigger, adding: own, answer: null })
        opts = { ...opts, jobId, singleton: terms, [ADDING]: own }
        if (definition.strategy === 'reject') checks.push({ terms, flag: token.flags[0] as string, index: jobId })
        else if (isRoot && WHOLE.has(definition.strategy))
          checks.push({ terms, flag: token.flags[1] as string, index: jobId })
      } else {
        const { answer, terms } = await this.#apartly(trigger, placed, isRoot, locks.has(lock))
        if (answer === null) return node
        locks.add(lock)
        placed.jobs.set(jobId, { trigger, adding: null, answer })
        opts = { ...opts, jobId, singleton: terms }
      }
    }
    const children: NonNullable<FlowJob['children']> = []
    for (const child of node.children ?? []) {
      const copy = await this.#place(child as FlowJob, placed, around, fused, token, checks, locks, false)
      children.push(copy as (typeof children)[number])
    }
    const changed = opts === undefined ? {} : { opts }
    return { ...node, ...changed, ...(node.children === undefined ? {} : { children }) } as FlowJob
  }

  /**
   * @param again whether a job of these flows has this lock: it is not there yet, and this one is to follow it
   * @returns no answer when the live job stands for the whole flow
   */
  async #apartly(
    trigger: Trigger,
    placed: PlacedFlow,
    isRoot: boolean,
    again: boolean,
  ): Promise<{ readonly answer: Answer | null; readonly terms: string }> {
    const { strategy } = trigger.definition
    const whole = isRoot && WHOLE.has(strategy)
    const told = await this.#host.producer.inFlowApart(trigger, !again && (strategy === 'reject' || whole))
    const { course } = told.answer
    if (course === 'granted' || course === 'queued') return told
    const { outcome } = conclude(trigger, strategy as JobStrategy, told.answer)
    if (whole) placed.live = outcome
    return { answer: null, terms: told.terms }
  }

  /** What is in the way is looked at by the first script of all; the others hear of it. */
  #tell(flows: readonly PlacedFlow[], token: string, checks: FlowToken['checks'] & object): void {
    if (checks.length === 0) {
      // Nothing can be in the way of these: BullMQ's own scripts will do.
      return
    }
    for (const [i, { jobs, others }] of flows.entries()) {
      const told: FlowToken = { flags: [token, `${token}:${i}`], checks }
      for (const adding of [...others, ...[...jobs.values()].map(job => job.adding)]) {
        if (adding !== null) Object.assign(adding, { flow: told })
      }
    }
  }

  #trigger({ name, data, queueName, prefix, opts }: FlowJob): Trigger | null {
    const definition = this.#host.definitions.get(name)
    if (definition === undefined) return null
    return new Trigger(definition, this.#host.qualifiedName(queueName, prefix), { name, data, opts })
  }
}
