import fc from 'fast-check'
import { type Fate, PLAIN, type PushFate } from './machine.js'

/** What is asked for: a mutex or read/write lock `a`, and a semaphore `s` that writers use too. */
export type Kind = 'mutex' | 'reader' | 'permit' | 'whole'

const process = fc.nat(2)
const which = fc.nat(7)
const kind = fc.constantFrom<Kind>('mutex', 'mutex', 'reader', 'permit', 'whole')
const ttlMs = fc.constantFrom(100, 300, 300, 1_000, 4_000)
const ms = fc.constantFrom(1, 40, 300, 1_000, 4_000)

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
  { weight: 6, arbitrary: fc.record({ do: fc.constant('deliver' as const), count: fc.constantFrom(1, 1, 2, 5) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('pass' as const), ms }) },
)
const disturbance = fc.oneof(
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
export type Command =
  | (typeof command extends fc.Arbitrary<infer T> ? T : never)
  | (typeof disturbance extends fc.Arbitrary<infer T> ? T : never)

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

/** All that a run is made of, apart from the order in which messages arrive. */
export interface Schedule {
  readonly commands: readonly Command[]
  /** What becomes of each call, and of each push, in turn. */
  readonly fates: readonly Fate[]
  readonly pushes: readonly PushFate[]
  /** Whether the clocks of the processes go at different speeds. */
  readonly skew: boolean
  /** A bit for each command: whether the next one is made in the same turn of the event loop, so that they travel together. */
  readonly together: number
  /** Whether what met with a fault once is spared when it is sent again. */
  readonly spares: boolean
}

/** Anything may happen. */
export const wild: fc.Arbitrary<Schedule> = fc.record({
  commands: fc.array(fc.oneof({ weight: 6, arbitrary: command }, { weight: 1, arbitrary: disturbance }), {
    minLength: 1,
    maxLength: 24,
    size: 'max',
  }),
  fates: fc.array(anyFate, { minLength: 1, maxLength: 24, size: 'max' }),
  pushes: fc.array(anyPush, { minLength: 1, maxLength: 6 }),
  skew: fc.boolean(),
  together: fc.nat(2 ** 24 - 1),
  spares: fc.constant(false),
})

/** Nothing is lost or late; only the order of what is on its way is open. */
export const calm: fc.Arbitrary<Schedule> = fc.record({
  commands: fc.array(command, { minLength: 1, maxLength: 24, size: 'max' }),
  fates: fc.constant([PLAIN]),
  pushes: fc.constant([{ copies: 1, afterMs: 0 }]),
  skew: fc.constant(false),
  together: fc.nat(2 ** 24 - 1),
  spares: fc.constant(false),
})

/** A call may be refused, lose its answer or be carried out twice, but not its repetition. */
export const lossy: fc.Arbitrary<Schedule> = fc.record({
  commands: fc.array(command, { minLength: 1, maxLength: 24, size: 'max' }),
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
  together: fc.nat(2 ** 24 - 1),
  spares: fc.constant(true),
})
