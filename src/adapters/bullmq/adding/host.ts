import type { Job } from 'bullmq'
import type { Soloist } from '../../../index.js'
import type { Fused } from '../fused/fused.js'
import type { Answering } from '../lock/answering.js'
import type { Singleton } from '../lock/events.js'
import type { Lives } from '../lock/lives.js'
import type { Definition } from '../options/definition.js'
import type { SingletonOutcome } from './outcome.js'
import type { Item } from './trigger.js'

/** How BullMQ itself adds to a queue, and what the caller is answered. */
export interface AddingHow<A> {
  add: (item: Item) => Promise<Job>
  addBulk: (items: readonly Item[]) => Promise<Job[]>
  /** @param job the one that covers the item; `null` where there is none to answer */
  answer: (item: Item, job: Job | null, outcome: SingletonOutcome) => A
  /** For a job that is no singleton. */
  answerPlain: (job: Job) => A
}

/** What a `Producer` needs of the queue it adds to. */
export interface ProducerHost<A> extends AddingHow<A> {
  readonly qualifiedName: string
  readonly solo: Soloist
  readonly lives: Lives
  readonly singleton: Singleton
  readonly definitions: ReadonlyMap<string, Definition>
  readonly graceMs: number
  readonly onBackendFault: 'fail' | 'enqueue'
  /** `null` where lock and job are always two steps. */
  readonly fused: Fused | null
  /** Whether the queue's scripts can be run within ours: known once it is connected. */
  readonly fusible: Promise<boolean>
  /** What the keys of locks on the queue's Redis start with. */
  readonly prefix: string
  /** Bounds what the queue is asked where lock and job are two steps. */
  readonly answering: Answering
  /** Asks the queue something on the same connection. */
  ask(): Promise<unknown>
  /** A trigger met a job that is run by a worker that knows nothing of locks. */
  onStranger(lock: string): void
}
