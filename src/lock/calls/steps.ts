import type { Again, Answer, Fault, Step } from '../../backend.js'
import type { SoloistError } from '../../errors.js'
import type { Clock, Instant } from '../../internal/clock.js'
import { Bounded } from './deadlines.js'

/** What a step came to when it was done. */
export type Done<A extends Answer> = Exclude<A, Again | Fault>

/** When a call left, and when its answer came: one moment for all its steps. */
export interface CallTimes extends Instant {
  /** On the monotonic clock. */
  readonly answeredAtMs: number
  /** How long it took, by whichever clock says more. */
  readonly tookMs: number
}

/** Who hears what came of a step: of `answered` and `failed` one, once, unless the step was withdrawn. */
export interface StepListener<A extends Answer> {
  answered(answer: Done<A>, call: CallTimes): void
  /** There was no answer, also not to its repetition. It is unknown whether the step was done. */
  failed(error: SoloistError): void
  /** What became of a step after all that had `failed`, by an answer that came late; `null`: that is still unknown. */
  late?(answer: Done<A> | null, call: CallTimes): void
}

/** What keeps the steps of one lock in their order. */
export interface Lane {
  /** The call that has steps of this lock. Others wait for it. */
  flight: Flight | null
  /** What waits for it, in order; `null`: nothing. */
  parked: PendingStep[] | null
  /** How many steps of this lock there are, on their way or waiting to leave. */
  steps: number
  /** How many claims of this client wait for the lock: then its steps take longer. */
  waiters: number
  /** There are no steps of this lock any more. */
  idle(): void
}

/** A step until it is done. */
export class PendingStep extends Bounded {
  readonly step: Step
  readonly lane: Lane | null
  readonly repeats: boolean
  /** How often it failed. */
  failures = 0
  /** Whether it has left, at least once. */
  sent = false
  /** Whether its listener has been told. */
  over = false
  readonly #listener: StepListener<Answer>
  readonly #late: (step: PendingStep) => SoloistError

  constructor(
    step: Step,
    lane: Lane | null,
    repeats: boolean,
    listener: StepListener<never>,
    late: (step: PendingStep) => SoloistError,
  ) {
    super()
    this.step = step
    this.lane = lane
    this.repeats = repeats
    this.#listener = listener as StepListener<Answer>
    this.#late = late
  }

  answer(answer: Done<Answer>, call: CallTimes): void {
    this.over = true
    this.#listener.answered(answer, call)
  }

  fail(error: SoloistError): void {
    this.over = true
    this.#listener.failed(error)
  }

  answerLate(answer: Done<Answer> | null, call: CallTimes): void {
    this.#listener.late?.(answer, call)
  }

  expire(): void {
    this.fail(this.#late(this))
  }

  cut(reason: SoloistError): void {
    this.fail(reason)
  }
}

/** How often the pieces of a failed call may still be sent. */
export interface Pieces {
  left: number
}

/** One call with its steps, under way. Its moment is that of all of them, and stays with the leases that it proved. */
export class Flight extends Bounded implements CallTimes {
  readonly monotonicMs: number
  readonly wallMs: number
  answeredAtMs: number
  tookMs: number = 0
  steps: readonly PendingStep[] = []
  /** Whether it is one piece of a call that failed. */
  readonly pieces: Pieces | null
  /** Whether it was answered, or nobody waits for its answer any more. */
  landed = false
  /** Whether its steps do not count as steps of their locks any more. */
  left = false
  readonly #onStall: (flight: Flight) => void

  constructor(clock: Clock, pieces: Pieces | null, onStall: (flight: Flight) => void) {
    super()
    this.monotonicMs = clock.monotonicMs()
    this.wallMs = clock.wallMs()
    this.answeredAtMs = this.monotonicMs
    this.pieces = pieces
    this.#onStall = onStall
  }

  /** The answer has come. */
  answered(clock: Clock): void {
    this.answeredAtMs = clock.monotonicMs()
    this.tookMs = Math.max(this.answeredAtMs - this.monotonicMs, clock.wallMs() - this.wallMs)
  }

  expire(): void {
    this.#onStall(this)
  }

  cut(): void {
    this.#onStall(this)
  }
}
