import fc from 'fast-check'
import type { JobOptions, JobStrategy } from 'soloist'
import { calmStage, disturbance, going, lossyStage, order, process, together, which, wildStage } from './commands.js'
import type { StageSchedule } from './stage.js'

/** What a job of the simulation is triggered with. */
export interface Args {
  /** The numbers of the triggers whose arguments these are: one, unless they were merged. */
  readonly items: readonly number[]
  /** What a job does with this trigger that decides on each by itself. */
  readonly strategy: JobStrategy
}

/** What kind of job it is. */
export interface JobKind {
  readonly options: JobOptions<Args>
  /** By what its triggers go; `null`: by their arguments. */
  readonly strategy: JobStrategy | null
  readonly merges: boolean
  /** How many of its runs may execute at once; `null`: a run may overlap the next. */
  readonly limit: number | null
  /** Whether a trigger is a duplicate only of a run that waits. */
  readonly gated: boolean
}

const TTL_MS = 1_000
const ttlMs = TTL_MS
const uniqueOn: readonly string[] = []
const merge = (pending: Args, newest: Args): Args => ({ ...newest, items: [...pending.items, ...newest.items] })
const decided = ({ args }: { readonly args: Args }) => args.strategy
const one = { merges: false, limit: 1, gated: false } as const
const gate = { ...one, gated: true } as const
const common = { ttlMs, uniqueOn } as JobOptions<Args>

/** A few of each: by strategy, with arguments that are merged, with a limit, with attempts, with a period. */
export const jobKinds = {
  join: { ...one, options: { ...common }, strategy: 'join' },
  rerun: { ...one, options: { ...common, onDuplicate: 'rerun' }, strategy: 'rerun' },
  merge: { ...one, options: { ...common, onDuplicate: 'rerun', merge }, strategy: 'rerun', merges: true },
  replace: { ...one, options: { ...common, onDuplicate: 'replace' }, strategy: 'replace' },
  stop: { ...one, options: { ...common, onDuplicate: 'replace', onRunning: 'stop' }, strategy: 'replace' },
  delay: { ...one, options: { ...common, onDuplicate: 'delay' }, strategy: 'delay' },
  mixed: { ...one, options: { ...common, onDuplicate: decided }, strategy: null },
  'gated mixed': { ...gate, options: { ...common, mode: 'untilExecuting', onDuplicate: decided }, strategy: null },
  'gated merge': {
    ...gate,
    options: { ...common, mode: 'untilAndWhileExecuting', onDuplicate: 'rerun', merge },
    strategy: 'rerun',
    merges: true,
  },
  pair: { ...one, options: { ...common, onDuplicate: 'rerun', limit: 2 }, strategy: 'rerun', limit: 2 },
  retried: {
    ...one,
    options: { ...common, onDuplicate: 'rerun', merge, attempts: 3, backoffMs: 100 },
    strategy: 'rerun',
    merges: true,
  },
  debounced: {
    ...one,
    options: { ...common, debounce: { waitMs: 300, maxWaitMs: 1_000 }, merge },
    strategy: 'rerun',
    merges: true,
  },
  bounded: { ...one, options: { ...common, onDuplicate: 'rerun', maxRunMs: 1_500 }, strategy: 'rerun', limit: null },
  period: {
    ...one,
    options: { ...common, mode: 'untilExpired', expiryMs: 2_000, releaseOnFailure: true, onDuplicate: decided },
    strategy: null,
    limit: null,
  },
} as const satisfies Record<string, JobKind>
export type JobKindName = keyof typeof jobKinds

/** How a handler behaves: returns at once, after a while or when it is told to, or throws, and whether it ends when it is asked. */
export interface HandlerPlan {
  readonly ends: 'at once' | 'soon' | 'when told' | 'throws'
  readonly listens: boolean
}

const kindNames = Object.keys(jobKinds) as JobKindName[]
const command = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('trigger' as const),
      process,
      /** Which of the schedule's kinds. */
      kind: fc.nat(1),
      strategy: fc.constantFrom<JobStrategy>('join', 'rerun', 'rerun', 'replace', 'delay', 'reject', 'skip'),
      /** Whether it is a call of the job; else a trigger whose result is asked for. */
      calls: fc.constantFrom(false, false, true),
      timeoutMs: fc.constantFrom<number | null>(null, null, null, 300),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('finish' as const), which, throws: fc.constantFrom(false, false, true) }),
  },
  { weight: 10, arbitrary: going },
)
export type JobCommand =
  | (typeof command extends fc.Arbitrary<infer T> ? T : never)
  | (typeof disturbance extends fc.Arbitrary<infer T> ? T : never)

/** All that a run with jobs is made of. */
export interface JobSchedule extends StageSchedule {
  readonly kinds: readonly JobKindName[]
  readonly commands: readonly JobCommand[]
  /** What each call of a handler does, in turn. */
  readonly handlers: readonly HandlerPlan[]
  /** A bit for each command: whether the next one is made in the same turn of the event loop, so that they travel together. */
  readonly together: number
}

const parts = {
  kinds: fc.array(fc.constantFrom(...kindNames), { minLength: 2, maxLength: 2 }),
  handlers: fc.array(
    fc.record({
      ends: fc.constantFrom(
        'at once' as const,
        'soon' as const,
        'when told' as const,
        'when told' as const,
        'throws' as const,
      ),
      listens: fc.boolean(),
    }),
    { minLength: 1, maxLength: 8 },
  ),
  together,
  order,
}
const commands = fc.array(command, { minLength: 1, maxLength: 20, size: 'max' })

/** Anything may happen. */
export const wildJobs: fc.Arbitrary<JobSchedule> = fc.record({
  commands: fc.array(fc.oneof({ weight: 6, arbitrary: command }, { weight: 1, arbitrary: disturbance }), {
    minLength: 1,
    maxLength: 20,
    size: 'max',
  }),
  ...parts,
  ...wildStage,
})

/** A call may be refused, lose its answer or be carried out twice, but not its repetition. */
export const lossyJobs: fc.Arbitrary<JobSchedule> = fc.record({ commands, ...parts, ...lossyStage })

/** Nothing is lost or late; only the order of what is on its way is open. */
export const calmJobs: fc.Arbitrary<JobSchedule> = fc.record({ commands, ...parts, ...calmStage })
