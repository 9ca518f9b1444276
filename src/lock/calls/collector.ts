import type { Answer, Answers, Backend, HandedGrant, Step } from '../../backend.js'
import type { SoloistError } from '../../errors.js'
import type { Clock } from '../../internal/clock.js'
import { afterEvents, atEndOfTurn, soon } from '../../internal/real-time.js'
import { Deadlines } from './deadlines.js'
import { type Failures, mayPass } from './failures.js'
import { type CallTimes, type Done, Flight, type Lane, PendingStep, type Pieces, type StepListener } from './steps.js'

/** A call without an answer for this long keeps no other waiting any more, neither for its turn nor for their order. */
const STALLED_MS = 1_000
/** From this many steps on, with nothing under way, the first half leaves before the second, so that both sides work. */
const HALVE_FROM = 32
/** What a step counts of a lock that is waited for: granting and queueing take longer than taking what is free. */
const CROWDED_WEIGHT = 8
/** How many calls the pieces of one that failed may take, for each halving. */
const CALLS_A_HALVING = 4

export interface CollectorOptions {
  readonly backend: Pick<Backend, 'run' | 'mostSteps' | 'callsAtOnce'>
  readonly clock: Clock
  /** Where steps wait for their time to be up. */
  readonly deadlines: Deadlines
  readonly failures: Failures
  /** A claim that waits was granted in this call. */
  readonly onHanded: (grant: HandedGrant, call: CallTimes) => void
}

/** Steps that leave together. */
interface Batch {
  steps: PendingStep[]
  weight: number
  readonly pieces: Pieces | null
}

/**
 * Sends the steps of one client to its backend, many in one call: with nothing under way they leave at the end of this
 * turn of the event loop; else they wait for a call that is under way, so that the busier the backend, the more travel
 * together.
 *
 * Steps of one lock keep their order: one waits while another call has steps of its lock. A call that fails as a whole is
 * sent again in halves, and those in halves, so that one step that always fails harms no other.
 */
export class StepCollector {
  readonly #backend: CollectorOptions['backend']
  readonly #clock: Clock
  readonly #deadlines: Deadlines
  readonly #stalls: Deadlines
  readonly #failures: Failures
  readonly #onHanded: CollectorOptions['onHanded']
  /** What leaves next, the first first. The last of them may still be filled, unless it is a piece. */
  #batches: Batch[] = []
  #underWay = 0
  #scheduled = false
  /** When `#scheduled` became so: the moment of all that is added until it is not any more. */
  #nowMs = 0

  constructor(options: CollectorOptions) {
    this.#backend = options.backend
    this.#clock = options.clock
    this.#deadlines = options.deadlines
    // Its steps have deadlines of their own, which keep the process alive.
    this.#stalls = new Deadlines(options.clock, Math.min(STALLED_MS, options.deadlines.afterMs), true)
    this.#failures = options.failures
    this.#onHanded = options.onHanded
  }

  /**
   * Has a step done. Its time-out counts from now.
   *
   * @param lane the lock whose other steps it must not change places with; `null`: its order does not matter, as that of
   *   a renewal, which says nothing to anybody but its own lease
   * @param repeats whether it is sent once more when it failed
   */
  add<A extends Answer>(step: Step, lane: Lane | null, repeats: boolean, listener: StepListener<A>): PendingStep {
    const pending = new PendingStep(step, lane, repeats, listener, this.#late)
    this.#deadlines.add(pending, this.nowMs)
    if (lane !== null) lane.steps += 1
    this.#put(pending)
    this.#schedule()
    return pending
  }

  /** This moment on the monotonic clock, or when what leaves at the end of this turn was first made. */
  get nowMs(): number {
    return this.#scheduled ? this.#nowMs : this.#clock.monotonicMs()
  }

  /** Takes a step back that has not left yet; its listener hears nothing. @returns whether that was possible */
  withdraw(pending: PendingStep): boolean {
    if (pending.sent || pending.over) return false
    pending.over = true
    this.#deadlines.remove(pending)
    return true
  }

  /** Ends everything that is under way or waits to leave. */
  cut(reason: SoloistError): void {
    this.#stalls.cut(reason)
    this.#deadlines.cut(reason)
  }

  #put(pending: PendingStep): void {
    const weight = pending.lane !== null && pending.lane.waiters > 0 ? CROWDED_WEIGHT : 1
    const last = this.#batches.at(-1)
    if (last !== undefined && last.pieces === null && last.weight < this.#backend.mostSteps) {
      last.steps.push(pending)
      last.weight += weight
    } else this.#batches.push({ steps: [pending], weight, pieces: null })
  }

  /** Puts steps before all that have not left. */
  #putFirst(steps: PendingStep[]): void {
    const { mostSteps } = this.#backend
    const [first] = this.#batches
    if (first !== undefined && first.pieces === null && first.steps.length + steps.length <= mostSteps) {
      first.steps = [...steps, ...first.steps]
      first.weight += steps.length
      return
    }
    const batches: Batch[] = []
    for (let i = 0; i < steps.length; i += mostSteps) {
      const some = steps.slice(i, i + mostSteps)
      batches.push({ steps: some, weight: some.length, pieces: null })
    }
    this.#batches = [...batches, ...this.#batches]
  }

  #schedule(): void {
    if (this.#scheduled || this.#underWay >= this.#backend.callsAtOnce || this.#batches.length === 0) return
    this.#scheduled = true
    this.#nowMs = this.#clock.monotonicMs()
    atEndOfTurn(this.#flush)
  }

  readonly #flush = (): void => {
    this.#scheduled = false
    while (this.#underWay < this.#backend.callsAtOnce) {
      const batch = this.#batches.shift()
      if (batch === undefined) return
      const { steps } = batch
      if (this.#underWay === 0 && this.#batches.length === 0 && this.#halves(steps.length)) {
        const second = steps.splice(steps.length >> 1)
        this.#batches.unshift({ steps: second, weight: second.length, pieces: batch.pieces })
      }
      this.#send(batch)
    }
  }

  #halves(steps: number): boolean {
    return this.#backend.callsAtOnce > 1 && steps >= HALVE_FROM
  }

  #send({ steps, pieces }: Batch): void {
    const flight = new Flight(this.#clock, pieces, this.#stalled)
    const leaving: PendingStep[] = []
    const list: Step[] = []
    for (const pending of steps) {
      const { lane } = pending
      if (pending.over) this.#drop(lane)
      else if (lane !== null && lane.flight !== null && lane.flight !== flight) {
        lane.parked ??= []
        lane.parked.push(pending)
      } else {
        if (lane !== null) lane.flight = flight
        pending.sent = true
        leaving.push(pending)
        list.push(pending.step)
      }
    }
    if (leaving.length === 0) return
    flight.steps = leaving
    this.#underWay += 1
    this.#call(flight, list).then(
      answers => {
        if (isAnswers(answers)) this.#answered(flight, answers)
        else this.#rejected(flight, new TypeError('the answer to a list of steps is none'))
      },
      (error: unknown) => this.#rejected(flight, error),
    )
  }

  /** A backend that throws instead of rejecting is treated alike, as is a clock that fails. */
  #call(flight: Flight, list: readonly Step[]): Promise<Answers> {
    try {
      this.#stalls.add(flight, flight.monotonicMs)
      return this.#backend.run(list)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  #answered(flight: Flight, { steps: answers, handed }: Answers): void {
    const { steps } = flight
    this.#failures.last = undefined
    flight.answered(this.#clock)
    this.#land(flight)
    const again: PendingStep[] = []
    let undone = false
    for (let i = 0; i < steps.length; i++) {
      const pending = steps[i] as PendingStep
      const answer = answers[i]
      if (!isAnswerTo(pending.step, answer)) {
        this.#failed(pending, this.#failures.unavailable(pending.step.kind, 'gave no answer'), flight, again)
      } else if (answer.status === 'fault') {
        this.#failed(pending, answer.error, flight, again)
      } else if (answer.status === 'again') {
        undone = true
        if (!pending.over) again.push(pending)
      } else this.#done(pending, answer, flight)
    }
    for (const grant of handed) this.#onHanded(grant, flight)
    this.#goOn(flight, again, undone)
  }

  /** Nothing is known of any of its steps. */
  #rejected(flight: Flight, error: unknown): void {
    const { steps, pieces } = flight
    this.#failures.last = error
    this.#land(flight)
    const again: PendingStep[] = []
    const left = steps.filter(({ over }) => !over)
    for (const pending of steps) if (pending.over) pending.answerLate(null, flight)
    const halvings = Math.ceil(Math.log2(left.length))
    const calls = pieces ?? { left: CALLS_A_HALVING * halvings }
    if (left.length > 1 && calls.left >= 2 && mayPass(error)) {
      calls.left -= 2
      this.#putPieces(left, calls)
    } else {
      const last = pieces !== null || left.length > 1
      for (const pending of left) {
        if (last) this.#fail(pending, error)
        else this.#failed(pending, error, flight, again)
      }
    }
    this.#goOn(flight, again, false)
  }

  /** The halves of a call that failed leave before all that came later. */
  #putPieces(steps: PendingStep[], pieces: Pieces): void {
    const middle = steps.length >> 1
    for (const { lane } of steps) if (lane !== null) lane.steps += 1
    const halves = [steps.slice(0, middle), steps.slice(middle)]
    this.#batches.unshift(...halves.map(half => ({ steps: half, weight: half.length, pieces })))
  }

  #done(pending: PendingStep, answer: Done<Answer>, flight: Flight): void {
    if (pending.over) return pending.answerLate(answer, flight)
    this.#deadlines.remove(pending)
    try {
      pending.answer(answer, flight)
    } catch (error) {
      // A defect, which must not keep the other answers from their steps.
      soon(() => {
        throw error
      })
    }
  }

  /** One step failed: it is sent once more, or was. */
  #failed(pending: PendingStep, error: unknown, flight: Flight, again: PendingStep[]): void {
    if (pending.over) return pending.answerLate(null, flight)
    pending.failures += 1
    if (pending.repeats && pending.failures === 1 && mayPass(error)) again.push(pending)
    else this.#fail(pending, error)
  }

  #fail(pending: PendingStep, error: unknown): void {
    this.#deadlines.remove(pending)
    pending.fail(this.#failures.from(pending.step.kind, error))
  }

  /** What a call had kept waiting may go on. */
  #land(flight: Flight): void {
    if (flight.landed) return
    flight.landed = true
    this.#underWay -= 1
    this.#stalls.remove(flight)
    for (const { lane } of flight.steps) {
      if (lane === null || lane.flight !== flight) continue
      lane.flight = null
      if (lane.parked === null) continue
      this.#putFirst(lane.parked)
      lane.parked = null
    }
  }

  readonly #stalled = (flight: Flight): void => {
    this.#land(flight)
    this.#leave(flight)
    this.#schedule()
  }

  #goOn(flight: Flight, again: PendingStep[], undone: boolean): void {
    for (const { lane } of again) if (lane !== null) lane.steps += 1
    if (again.length > 0) this.#putFirst(again)
    this.#leave(flight)
    flight.steps = []
    // A datastore that does nothing must not keep the event loop from everything else.
    if (undone && !this.#scheduled) {
      this.#scheduled = true
      this.#nowMs = this.#clock.monotonicMs()
      afterEvents(this.#flush)
    } else this.#schedule()
  }

  /** Its steps do not count any more. */
  #leave(flight: Flight): void {
    if (flight.left) return
    flight.left = true
    for (const { lane } of flight.steps) this.#drop(lane)
  }

  #drop(lane: Lane | null): void {
    if (lane === null) return
    lane.steps -= 1
    if (lane.steps === 0) lane.idle()
  }

  readonly #late = (pending: PendingStep): SoloistError =>
    this.#failures.late(pending.step.kind, this.#deadlines.afterMs)
}

/** Whether a backend, which may be somebody's own, answered at all. */
function isAnswers(answers: Answers | null | undefined): answers is Answers {
  return Array.isArray(answers?.steps) && Array.isArray(answers.handed)
}

/** Whether it answered the step that it was asked to do. */
function isAnswerTo({ kind }: Step, answer: Answer | null | undefined): answer is Answer {
  switch (answer?.status) {
    case 'granted':
      return isFence(answer.fence) && (kind === 'acquire' || kind === 'trigger')
    case 'busy':
      return kind === 'acquire' || kind === 'trigger'
    case 'met':
      return kind === 'trigger'
    case 'displaced':
      return kind === 'trigger' || kind === 'begin'
    case 'begun':
      return kind === 'begin'
    case 'held':
      return kind === 'renew' && (answer.fence === null || isFence(answer.fence))
    case 'lost':
      return kind === 'renew' || kind === 'begin'
    case 'released':
      return kind === 'release'
    case 'fault':
    case 'again':
      return true
    default:
      return false
  }
}

function isFence(fence: unknown): boolean {
  return Number.isSafeInteger(fence) && (fence as number) > 0
}
