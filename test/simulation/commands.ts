import fc from 'fast-check'
import { type Fate, PLAIN, type PushFate } from './machine.js'
import type { StageSchedule } from './stage.js'

/** What is asked for: a mutex or read/write lock `a`, and a semaphore `s` that writers use too. */
export type Kind = 'mutex' | 'reader' | 'permit' | 'whole'

export const process = fc.nat(2)
export const which = fc.nat(7)
const kind = fc.constantFrom<Kind>('mutex', 'mutex', 'reader', 'permit', 'whole')
const ttlMs = fc.constantFrom(100, 300, 300, 1_000, 4_000)
const ms = fc.constantFrom(1, 40, 300, 1_000, 4_000)

/** Messages arrive, and time passes. */
export const going = fc.oneof(
  fc.record({ do: fc.constant('deliver' as const), count: fc.constantFrom(1, 1, 2, 5) }),
  fc.record({ do: fc.constant('pass' as const), ms }),
)

/** What may happen next. */
const command = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('lock' as const),
      process,
      kind,
      ttlMs,
      waitMs: fc.constantFrom<number | null>(null, 0, 300, 4_000, Infinity, Infinity, Infinity),
      holdForMs: fc.constantFrom(0, 0, 0, 0, 0, 0, 1_000),
      retakes: fc.constantFrom(false, false, false, true),
    }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('release' as const), which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('renew' as const), which }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('abort' as const), which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('detach' as const), which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('attach' as const), process, which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('unlock' as const), which }) },
  { weight: 12, arbitrary: going },
)
/** What may go wrong with a process. */
export const disturbance = fc.oneof(
  { weight: 2, arbitrary: fc.record({ do: fc.constant('crash' as const), process }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('close' as const), process, drainMs: fc.constantFrom(0, 0, 500) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('stop' as const),
      process,
      ms,
      sleeps: fc.constantFrom(false, false, true),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('set' as const), process, ms: fc.constantFrom(-60_000, -100, 100, 60_000) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('gap' as const), process }) },
)
type Made<T> = T extends fc.Arbitrary<infer V> ? V : never
/** What may happen to any process, whatever it does. */
export type Happening = Made<typeof going> | Exclude<Made<typeof disturbance>, { readonly do: 'crash' | 'close' }>
export type Command = Made<typeof command> | Made<typeof disturbance>

const late = fc.constantFrom(0, 20, 400, 2_000, 6_000)
const anyFate = fc.oneof(
  { weight: 6, arbitrary: fc.constant(PLAIN) },
  {
    weight: 3,
    arbitrary: fc.tuple(late, late).map(([requestMs, answerMs]): Fate => ({ ...PLAIN, requestMs, answerMs })),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom('lost' as const, 'error' as const).map((answer): Fate => ({ ...PLAIN, answer })),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom('lost' as const, 'refused' as const).map((request): Fate => ({ ...PLAIN, request })),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(late, fc.constantFrom('arrives' as const, 'error' as const))
      .map(([repeatMs, answer]): Fate => ({ ...PLAIN, repeatMs, answer })),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.nat(2), fc.constantFrom('again' as const, 'refused' as const, 'lost' as const))
      .map(([at, what]): Fate => ({ ...PLAIN, step: { at, what } })),
  },
)
const anyPush = fc.oneof(
  { weight: 4, arbitrary: fc.constant<PushFate>({ copies: 1, afterMs: 0 }) },
  { weight: 2, arbitrary: fc.record({ copies: fc.nat(2), afterMs: fc.constantFrom(0, 20, 400, 6_000) }) },
)

/** All that a run is made of. */
export interface Schedule extends StageSchedule {
  readonly commands: readonly Command[]
  /** A bit for each command: whether the next one is made in the same turn of the event loop, so that they travel together. */
  readonly together: number
}

/** What becomes of the messages while anything may happen. */
export const wildStage = {
  fates: fc.array(anyFate, { minLength: 1, maxLength: 24, size: 'max' }),
  pushes: fc.array(anyPush, { minLength: 1, maxLength: 6 }),
  skew: fc.boolean(),
  spares: fc.constant(false),
} as const

/** Nothing is lost or late. */
export const calmStage = {
  fates: fc.constant([PLAIN]),
  pushes: fc.constant([{ copies: 1, afterMs: 0 }]),
  skew: fc.constant(false),
  spares: fc.constant(false),
} as const

/** A call may be refused, lose its answer or be carried out twice, but not its repetition. */
export const lossyStage = {
  fates: fc.array(
    fc.constantFrom<Fate>(
      PLAIN,
      { ...PLAIN, answer: 'error' },
      { ...PLAIN, request: 'refused' },
      { ...PLAIN, twice: true },
      { ...PLAIN, twice: true, answer: 'error' },
    ),
    { minLength: 1, maxLength: 16 },
  ),
  pushes: fc.array(fc.constantFrom<PushFate>({ copies: 1, afterMs: 0 }, { copies: 2, afterMs: 0 }), { minLength: 1 }),
  skew: fc.constant(false),
  spares: fc.constant(true),
} as const

export const together = fc.nat(2 ** 24 - 1)
/** A smaller number is no simpler order. */
export const order = fc.noShrink(fc.nat(2 ** 31 - 1))

/** Anything may happen. */
export const wild: fc.Arbitrary<Schedule> = fc.record({
  commands: fc.array(fc.oneof({ weight: 6, arbitrary: command }, { weight: 1, arbitrary: disturbance }), {
    minLength: 1,
    maxLength: 24,
    size: 'max',
  }),
  ...wildStage,
  together,
  order,
})

/** Nothing is lost or late; only the order of what is on its way is open. */
export const calm: fc.Arbitrary<Schedule> = fc.record({
  commands: fc.array(command, { minLength: 1, maxLength: 24, size: 'max' }),
  ...calmStage,
  together,
  order,
})

/** A call may be refused, lose its answer or be carried out twice, but not its repetition. */
export const lossy: fc.Arbitrary<Schedule> = fc.record({
  commands: fc.array(command, { minLength: 1, maxLength: 24, size: 'max' }),
  ...lossyStage,
  together,
  order,
})
