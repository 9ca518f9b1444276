import type { FlowJob, JobNode } from 'bullmq'
import { DuplicateJobError, type JobStrategy } from '../../../index.js'
import type { Answer } from '../fused/answer.js'
import { ADDING, type Adding } from '../fused/fused.js'
import { Unanswered } from '../lock/answering.js'
import type { Singleton } from '../lock/events.js'
import { parseOwner } from '../lock/owner.js'
import type { Definition } from '../options/definition.js'
import { asSoloistError } from './failures.js'
import { type Parent, parentOf } from './in-flow.js'
import { circular, conclude, duplicate, type SingletonOutcome, started } from './outcome.js'
import type { Looks } from './own-id.js'
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

/** A job of a flow, and those below it. */
interface Node {
  readonly flow: FlowJob
  /** `null`: it is no singleton. Under another id where it could not have its own. */
  trigger: Trigger | null
  readonly children: readonly Node[]
  /** What it is added with, where that is one step. */
  adding: Adding | null
  /** What came of asking for its lock, where that is a step of its own; `null` also where it has not been asked for. */
  answer: Answer | null
}

/** A flow that is about to be added. */
export interface PlacedFlow {
  readonly root: Node
  /** With what its jobs are added with; as it was given where something else stands for it. */
  flow: FlowJob
  /** What stands for all of it; `null`: it is to be added. */
  live: SingletonOutcome | null
}

/** Flows that are about to be added by one call. */
export interface Placement {
  readonly flows: readonly PlacedFlow[]
  /** Whether locks are taken by the step that adds them, unless a name has braces. */
  readonly fused: boolean
  /** How many jobs they have. */
  readonly jobs: number
  /** To be called once they are added, or will not be: then others may add under the ids that they brought. Never rejects. */
  end(): Promise<void>
}

/** What the scripts of one flow are told, see `fused/scripts/add.lua`. */
interface FlowToken {
  readonly flags: readonly string[]
  readonly checks?: readonly Check[]
}

/** What is looked at before a flow is added. */
interface Check {
  readonly terms: string
  readonly flag: string
  /** The id of the job. */
  readonly index: string
  /** Whether that job would wait for one of those above this one; else whether anything is live. */
  readonly parent?: Parent
  /** What is at this key must not be among those above, either. */
  readonly key?: string
}

/** What is the same for all jobs that are placed by one call. */
interface Placing {
  readonly fused: boolean
  readonly looks: Looks
  readonly checks: Check[]
  /** The locks that its jobs before this one have asked for, and the ids that they brought, with their queues. */
  readonly locks: Set<string>
  readonly ids: Set<string>
}

/** A job with these at the root of a flow stands for all of it when it is live. */
const WHOLE: ReadonlySet<unknown> = new Set(['join', 'skip'])
const NO_ADDING = {
  ...{ terms: '', todo: '', meta: '', freshId: '', flow: null, owner: '' },
  ...{ answer: null, sent: false },
} as const

/** Finds out what is in the way of the jobs of flows. */
export class FlowTriggers {
  readonly #host: FlowHost

  constructor(host: FlowHost) {
    this.#host = host
  }

  /** @throws SoloistError when one of the flows is refused: nothing is held then */
  async place(flows: readonly FlowJob[]): Promise<Placement> {
    const { producer } = this.#host
    const fused = await producer.ready()
    const roots = flows.map(flow => this.#nodeOf(flow, []))
    const apart = roots.flatMap(root =>
      [...nodesOf(root)].flatMap(({ trigger }) => (trigger === null || (fused && trigger.isPlain) ? [] : [trigger])),
    )
    const looks = await producer.looks(apart)
    const placing: Placing = { fused, looks, checks: [], locks: new Set(), ids: new Set() }
    const all: PlacedFlow[] = []
    const token = this.#host.flags + this.#host.token()
    try {
      for (const [i, root] of roots.entries()) {
        const placed: PlacedFlow = { root, flow: root.flow, live: null }
        all.push(placed)
        placed.flow = await this.#place(root, placed, flagsOf(token, i), placing)
      }
    } catch (error) {
      for (const trigger of claimed(all)) await producer.afterFailure.giveUpUntried(trigger)
      await looks.end()
      throw asSoloistError(error, true)
    }
    this.#tell(all, token, placing.checks)
    const jobs = roots.reduce((sum, root) => sum + [...nodesOf(root)].length, 0)
    return { flows: all, fused, jobs, end: () => looks.end() }
  }

  /** Whether anything was sent that adds a job; `null`: that is not known, since locks are taken by steps of their own. */
  wasSent(flows: readonly PlacedFlow[]): boolean | null {
    const nodes = flows.flatMap(({ root }) => [...nodesOf(root)])
    const addings = nodes.flatMap(({ trigger, adding }) => (trigger === null && adding === null ? [] : [adding]))
    return addings.length === 0 || addings.includes(null) ? null : addings.some(adding => adding?.sent === true)
  }

  /** They could not be added, for `error`: gives up what was taken for jobs that are not there. Never rejects. */
  async giveBack(flows: readonly PlacedFlow[], error: unknown): Promise<void> {
    const { afterFailure } = this.#host.producer
    for (const trigger of claimed(flows)) {
      if (error instanceof Unanswered) await afterFailure.unanswered(error, trigger)
      else await afterFailure.giveUpUnlessThere(trigger)
    }
  }

  /**
   * Tells each job of a flow that was added what became of it.
   *
   * @returns `live`: what stands for the flow, if it was not added
   * @throws DuplicateJobError when it was refused
   */
  conclude(placed: PlacedFlow, added: JobNode | null): { readonly live: SingletonOutcome | null } {
    const { root, live } = placed
    if (live !== null || added === null) {
      if (root.trigger !== null) this.#host.singleton.count(root.trigger.name, 'duplicate')
      return { live }
    }
    for (const { flow, adding } of nodesOf(root)) {
      if (adding?.answer?.course === 'circular') throw circular(flow.name)
      if (adding?.answer?.course === 'refused') return this.#refused(placed, adding.answer)
    }
    this.#concludeAll(added, root)
    return { live: null }
  }

  #refused({ root, flow }: PlacedFlow, answer: Answer): { readonly live: SingletonOutcome | null } {
    const [met] = [answer.running]
    const of = [...nodesOf(root)].find(({ trigger }) => trigger?.jobId === answer.id)?.trigger ?? root.trigger
    if (met === null || of === null)
      throw new DuplicateJobError({ job: flow.name, id: answer.id, state: 'queued', ageMs: null })
    this.#host.singleton.count(of.name, 'duplicate')
    if (of !== root.trigger || !standsForAll(root)) throw duplicate(of, met)
    const id = parseOwner(met.owner)?.jobId ?? met.owner
    return { live: conclude(of, of.definition.strategy as JobStrategy, { ...answer, id, course: 'met' }).outcome }
  }

  #concludeAll({ job, children = [] }: JobNode, node: Node): void {
    const { trigger } = node
    if (trigger !== null) {
      const answer = node.adding === null ? node.answer : node.adding.answer
      const outcome = answer === null ? started(trigger.jobId) : conclude(trigger, 'delay', answer).outcome
      Object.assign(job, { id: outcome.id, singleton: outcome })
      this.#host.singleton.count(trigger.name, outcome.status)
    }
    for (const [i, child] of children.entries()) this.#concludeAll(child, node.children[i] as Node)
  }

  /** @returns a copy of a job and of all below it, with what they are added with */
  async #place(node: Node, placed: PlacedFlow, flags: readonly string[], placing: Placing): Promise<FlowJob> {
    const { flow, trigger } = node
    let opts = flow.opts as object | undefined
    if (trigger === null) {
      if (placing.fused) {
        node.adding = { ...NO_ADDING }
        opts = { ...opts, [ADDING]: node.adding }
      }
    } else if (placing.fused && trigger.isPlain) {
      const { adding, terms } = this.#host.producer.inFlow(trigger)
      // Its children are told its id.
      node.adding = isBound(node) ? { ...adding, freshId: '-' } : adding
      opts = { ...opts, jobId: trigger.jobId, singleton: terms, [ADDING]: node.adding }
      const { strategy } = trigger.definition
      const whole = node === placed.root && standsForAll(node)
      const flag = strategy === 'reject' ? flags[0] : whole ? flags[1] : undefined
      if (flag !== undefined) placing.checks.push({ terms, flag, index: trigger.jobId })
      const parent = parentOf(placed.root.flow.opts)
      const key = linksKnown(node) ? { key: `${trigger.queue}:${trigger.jobId}` } : {}
      if (parent !== null) {
        placing.checks.push({ terms, flag: flags[0] as string, index: trigger.jobId, parent, ...key })
      }
    } else {
      const added = await this.#apartly(node, trigger, placed, placing)
      if (added === null) return flow
      opts = { ...opts, ...added }
    }
    const children: FlowJob[] = []
    for (const child of node.children) children.push(await this.#place(child, placed, flags, placing))
    const changed = opts === undefined ? {} : { opts }
    return { ...flow, ...changed, ...(flow.children === undefined ? {} : { children }) } as FlowJob
  }

  /** @returns what it is added with; `null` when the live job stands for the whole flow */
  async #apartly(
    node: Node,
    trigger: Trigger,
    placed: PlacedFlow,
    { looks, locks, ids }: Placing,
  ): Promise<{ readonly jobId: string; readonly singleton: string } | null> {
    const { definition, lock, queue, jobId } = trigger
    const { strategy } = definition
    const whole = node === placed.root && standsForAll(node)
    const id = `${queue}:${jobId}`
    const parent = parentOf(placed.root.flow.opts)
    if (parent !== null) await this.#host.producer.checkAbove(trigger, parent, linksKnown(node))
    const look = await looks.of(trigger)
    const told = await this.#host.producer.inFlowApart(trigger, {
      look: ids.has(id) ? { ...look, known: 'soon' } : look,
      // What has this lock before it in the call is not there yet: it is to follow that.
      meets: !locks.has(lock) && (strategy === 'reject' || whole),
      isBound: isBound(node),
    })
    node.trigger = told.trigger
    node.answer = told.answer
    locks.add(lock)
    ids.add(id)
    if (told.answer.course !== 'met') return { jobId: told.trigger.jobId, singleton: told.terms }
    const { outcome } = conclude(told.trigger, strategy as JobStrategy, told.answer)
    if (whole) placed.live = outcome
    return null
  }

  /** What is in the way is looked at by the first script of all; the others hear of it. */
  #tell(flows: readonly PlacedFlow[], token: string, checks: readonly Check[]): void {
    if (checks.length === 0) {
      // Nothing can be in the way of these: BullMQ's own scripts will do.
      return
    }
    for (const [i, { root }] of flows.entries()) {
      const told: FlowToken = { flags: flagsOf(token, i), checks }
      for (const { adding } of nodesOf(root)) if (adding !== null) Object.assign(adding, { flow: told })
    }
  }

  /** @throws SoloistError `INVALID_ARGUMENT` for a job that is part of one that is the same, and for data that has no key */
  #nodeOf(flow: FlowJob, above: readonly string[]): Node {
    const trigger = this.#triggerOf(flow)
    if (trigger !== null && above.includes(trigger.lock)) throw circular(flow.name)
    const around = trigger === null ? above : [...above, trigger.lock]
    const children = (flow.children ?? []).map(child => this.#nodeOf(child as FlowJob, around))
    return { flow, trigger, children, adding: null, answer: null }
  }

  #triggerOf({ name, data, queueName, prefix, opts }: FlowJob): Trigger | null {
    const definition = this.#host.definitions.get(name)
    if (definition === undefined) return null
    return new Trigger(definition, this.#host.qualifiedName(queueName, prefix), { name, data, opts })
  }
}

/** A job and all below it. */
function* nodesOf(node: Node): Generator<Node, void, undefined> {
  yield node
  for (const child of node.children) yield* nodesOf(child)
}

/** Whether a live job would stand for the flow of this root. One that a parent waits for cannot be left out. */
function standsForAll({ trigger }: Node): boolean {
  return trigger !== null && WHOLE.has(trigger.definition.strategy) && !trigger.hasParent
}

/** Whether its children are told its id. */
function isBound({ children }: Node): boolean {
  return children.length > 0
}

/** Whether a job that has its id is to have its children, and its parent. */
function linksKnown(node: Node): boolean {
  return isBound(node) && node.trigger?.hasOwnId === true
}

/** Those that have a lock, or a place in its queue, that they took by a step of its own. */
function* claimed(flows: readonly PlacedFlow[]): Generator<Trigger, void, undefined> {
  for (const { root } of flows) {
    for (const { trigger, answer } of nodesOf(root)) {
      if (trigger !== null && (answer?.course === 'granted' || answer?.course === 'queued')) yield trigger
    }
  }
}

/** Of all flows of a call, and of one of them. What ends like this is no lock to those who list locks. */
function flagsOf(token: string, flow: number): readonly string[] {
  return [`{${token}}:r2`, `{${token}}:${flow}:r2`]
}
