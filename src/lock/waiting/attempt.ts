import type {
  AcquireAnswer,
  AcquireStep,
  RenewAnswer,
  Seen,
  TriggerAnswer,
  TriggerGranted,
  TriggerStep,
} from '../../backend.js'
import { causedBy, LockTimeoutError, SoloistError } from '../../errors.js'
import { onAbort } from '../../internal/abort.js'
import { elapsedMs, type Timer } from '../../internal/clock.js'
import type { CallTimes, Done, PendingStep, StepListener } from '../calls/steps.js'
import { besideRivals, bothHeld, fallenFence, rivalsOf } from '../holding/contradiction.js'
import { driftMs, HeldLease, type LeaseClaim } from '../holding/lease.js'
import type { LocalLock } from '../local-locks.js'
import { type LockRequest, mayBePending, NOTHING_SEEN, seenBeside } from '../request.js'
import type { HostOf } from './attempt-host.js'
import { aborted, type Patience } from './patience.js'
import type { Asked, Waiter, WaitingQueue } from './room.js'

export type AttemptHost = HostOf<Attempt>

/** A grant that comes too late to be used is asked for again this often before the backend counts as too slow. */
const LATE_GRANTS = 3
const GRANTED: Asked = { status: 'granted' }

const HEARD: Asked = { status: 'ended', heard: true }
const UNHEARD: Asked = { status: 'ended', heard: false }

/** A question on its way, and who is told what it came to. */
interface Question {
  readonly step: PendingStep
  readonly then: (asked: Asked) => void
}

/**
 * One pending call for a lock: from the first question until a lease, a refusal, or the caller's patience ends it.
 * It ends exactly once; whatever the backend grants it afterwards is given back.
 */
export class Attempt implements Waiter, StepListener<AcquireAnswer | TriggerAnswer> {
  readonly claim: LeaseClaim
  readonly lock: LocalLock
  /** Whether it was made in a block of its client. */
  readonly inside: boolean
  /**
   * `null` when the lock is not free and the claim was not to be queued; of a trigger also when it was displaced, or lost
   * its place as the pending run.
   */
  readonly result: Promise<HeldLease | null>
  /** Who took its place, as far as that is known. */
  displacedBy: string | null = null
  ticket: number | null = null
  queue: WaitingQueue | null = null

  readonly #host: AttemptHost
  readonly #request: LockRequest
  readonly #patience: Patience
  /** Since when the caller waits, on the monotonic clock: `waitMs` counts from then. */
  readonly #sinceMs: number
  #resolve!: (lease: HeldLease | null) => void
  #reject!: (error: unknown) => void
  #over = false
  /** Whether it is in the waiting room. */
  #waits = false
  /** The first question, until it is answered. */
  #first: PendingStep | null = null
  /** When that was made, on the monotonic clock. */
  #askedAtMs = Infinity
  /** Whether it was asked more than once. */
  #repeated = false
  /** The questions after it, until they are answered. */
  #questions: Set<Question> | null = null
  /** What gives the claim back after the end. */
  #leaving: PendingStep | null = null
  #timer: Timer | null = null
  #stopListening: (() => void)[] | null = null
  #holder: string | null = null
  #lastFault: unknown
  #lateGrants = 0
  /** Whether it is still to be told what its trigger came to. */
  #triggers: boolean
  #replaces: string | null
  /** Whether it is being asked what became of leases that exclude a grant. */
  #doubted = false

  constructor(
    host: AttemptHost,
    claim: LeaseClaim,
    lock: LocalLock,
    request: LockRequest,
    patience: Patience,
    sinceMs: number,
    inside: boolean,
  ) {
    this.#host = host
    this.claim = claim
    this.lock = lock
    this.#request = request
    this.#patience = patience
    this.#sinceMs = sinceMs
    this.inside = inside
    this.#triggers = request.trigger !== undefined
    this.#replaces = request.replaces ?? null
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  get name(): string {
    return this.claim.name
  }

  get owner(): string {
    return this.claim.owner
  }

  /** Sends the first question. */
  start(): void {
    try {
      const { signal } = this.#request
      const { unless } = this.#patience
      this.#askedAtMs = this.#host.collector.nowMs
      this.#first = this.#host.collector.add(this.#step(), this.lock, true, this)
      if (signal !== null) this.#listen(signal, () => this.fail(aborted(signal)))
      if (unless !== null) this.#listen(unless, () => this.fail(unless.reason))
    } catch (error) {
      if (this.#first === null) this.#refuse(error)
      else this.fail(error)
    }
  }

  /** The first question was answered. */
  answered(answer: Done<AcquireAnswer | TriggerAnswer>, call: CallTimes): void {
    this.#repeated = (this.#first?.failures ?? 0) > 0
    this.#first = null
    const asked = this.#answered(answer, call, null)
    if (asked !== null) this.#planned(asked)
  }

  failed(error: SoloistError): void {
    this.#first = null
    this.#planned(this.#faulty(error, this.#sinceMs))
  }

  /** An answer that arrives after the end may have granted or queued the claim anew. */
  late(answer: Done<AcquireAnswer | TriggerAnswer> | null): void {
    const lingers =
      answer === null || answer.status === 'granted' || (answer.status === 'busy' && answer.ticket !== null)
    // What gives it back comes after this answer if it has not left yet.
    if (lingers && this.#over && this.#leaving?.sent !== false) this.#leaving = this.#host.dequeue(this)
  }

  ask(then: (asked: Asked) => void): void {
    if (this.#over) return then(UNHEARD)
    this.#repeated = true
    const askedAtMs = this.#host.clock.monotonicMs()
    const step = this.#host.collector.add<AcquireAnswer | TriggerAnswer>(this.#step(), this.lock, true, {
      answered: (answer, call) => {
        this.#questions?.delete(question)
        const asked = this.#answered(answer, call, then)
        if (asked !== null) then(asked)
      },
      failed: error => {
        this.#questions?.delete(question)
        then(this.#faulty(error, askedAtMs))
      },
      late: answer => this.late(answer),
    })
    const question = { step, then }
    this.#questions ??= new Set()
    this.#questions.add(question)
  }

  /**
   * A pushed grant counts once the backend confirms that it still stands, and with the fence that the backend tells then:
   * a push that comes late may be of an earlier grant.
   */
  confirm(then: (asked: Asked) => void): void {
    if (this.#over) return then(UNHEARD)
    const { name, owner, ttlMs, endsWithProcess } = this.claim
    const askedAtMs = this.#host.clock.monotonicMs()
    this.#host.collector.add<RenewAnswer>(
      { kind: 'renew', name, owner, ttlMs, fence: null, endsWithProcess },
      null,
      false,
      {
        answered: (answer, call) => {
          if (this.#over) then(HEARD)
          else if (answer.status === 'lost' && this.#triggers && mayBePending(this.#request)) {
            // It waited, and others may have left something with its run. To be triggered once more would be another run.
            this.placeLost()
            then(UNHEARD)
          } else if (answer.status === 'lost' || answer.fence === null) this.ask(then)
          else {
            const asked = this.#granted(answer.fence, call, then)
            if (asked !== null) then(asked)
          }
        },
        failed: error => then(this.#faulty(error, askedAtMs)),
      },
    )
  }

  /**
   * The lock was granted in this call, and is held from when it left. Answers whether there is a lease now; else the grant
   * is to be confirmed first.
   */
  handed(fence: number, call: CallTimes): boolean {
    if (this.#isLate(call)) return false
    this.#hold(fence, call)
    return true
  }

  /** Another took its place, so that the backend knows nothing of it any more. */
  displaced(by: string): void {
    if (this.#over) return
    this.displacedBy = by === '' ? null : by
    this.#leave()
  }

  /** It is not the pending run any more that it was. Whatever the backend has of it is taken back. */
  placeLost(): void {
    if (this.#over) return
    this.#leave()
    this.#leaving = this.#host.dequeue(this)
  }

  /**
   * Asks for the lock in the place of this owner, at once and from now on. Resolves with who holds it instead; `null` when
   * nobody does or the wait is over.
   *
   * @throws SoloistError `BACKEND_UNAVAILABLE`
   */
  takeFrom(owner: string): Promise<string | null> {
    this.#replaces = owner
    return new Promise((resolve, reject) => {
      this.ask(asked => {
        if (asked.status === 'fault') reject(asked.error)
        else resolve(asked.status === 'busy' ? this.#holder : null)
      })
    })
  }

  /** Ends the wait without a lease. What the backend may have noted of the claim is taken back. */
  fail(error: unknown): void {
    if (this.#over) return
    this.#refuse(error)
    if (this.#first !== null && this.#host.collector.withdraw(this.#first)) return
    this.#leaving = this.#host.dequeue(this)
    this.#withdraw(UNHEARD)
  }

  /** Takes back what was asked and has not left yet: it would claim once more what is over. */
  #withdraw(asked: Asked): void {
    const questions = this.#questions
    this.#questions = null
    for (const { step, then } of questions ?? []) if (this.#host.collector.withdraw(step)) then(asked)
  }

  #step(): AcquireStep | TriggerStep {
    const { trigger } = this.#request
    if (trigger !== undefined && this.#triggers) {
      const { running, pending, note, begins, debounce, without, keepMs } = trigger
      return { kind: 'trigger', claim: this.claim, running, pending, note, begins, debounce, without, keepMs }
    }
    const ticket = this.#patience.queues ? (this.ticket ?? 'new') : null
    return { kind: 'acquire', claim: this.claim, ticket, replaces: this.#replaces }
  }

  /** The wait is over without a lease, and the backend has nothing of it. */
  #leave(): void {
    this.#end()
    this.#host.forget(this)
    this.#withdraw(UNHEARD)
    this.#resolve(null)
  }

  #listen(signal: AbortSignal, run: () => void): void {
    this.#stopListening ??= []
    this.#stopListening.push(onAbort(signal, run))
  }

  /** What the first question came to. */
  #planned(asked: Asked): void {
    if (this.#over) return
    if (asked.status === 'fault') return this.fail(asked.error)
    if (asked.status !== 'busy') return
    try {
      const { queues, insists } = this.#patience
      if (queues) this.#wait(asked.retryAfterMs)
      else if (insists) this.#refuse(this.#refusal())
      else this.#leave()
    } catch (error) {
      this.fail(error)
    }
  }

  #wait(retryAfterMs: number | null): void {
    const leftMs = this.#request.waitMs - this.#waitedMs()
    if (leftMs <= 0) return this.fail(this.#refusal())
    if (leftMs !== Infinity) this.#timer = this.#host.clock.setTimer(leftMs, () => this.fail(this.#refusal()))
    this.#waits = true
    this.lock.waiters += 1
    this.#host.waiting.add(this, retryAfterMs)
    this.#host.onQueued(this, this.#holder)
    this.#patience.onQueued?.()
  }

  /**
   * `null`: it is not over yet, and `then` hears more.
   *
   * @param then `null` for the first question
   */
  #answered(
    answer: Done<AcquireAnswer | TriggerAnswer>,
    call: CallTimes,
    then: ((asked: Asked) => void) | null,
  ): Asked | null {
    if (this.#over) {
      this.late(answer)
      if (answer.status === 'granted') return HEARD
      if (answer.status !== 'busy') return UNHEARD
    } else {
      this.#lastFault = undefined
      if (this.#mayBeAnother(answer, call)) {
        this.placeLost()
        return UNHEARD
      }
      if (answer.status === 'granted') {
        return this.#granted(answer.fence, call, then, 'seen' in answer ? answer : null)
      }
      if (answer.status === 'displaced') {
        this.displaced(answer.by)
        return UNHEARD
      }
      if (answer.status === 'met') {
        this.#tell('met', answer.seen, { noted: answer.noted })
        this.#leave()
        return UNHEARD
      }
      // It brought its ticket, and is not queued again: another took its place.
      if (this.ticket !== null && answer.ticket === null && this.#request.trigger !== undefined) {
        this.#leave()
        return UNHEARD
      }
      this.ticket = answer.ticket ?? this.ticket
      this.#holder = answer.holder
      if ('seen' in answer) this.#tell('queued', answer.seen)
      // What was left with the pending run is gone with its place. One that waits for a run of its own goes on waiting.
      else if (answer.requeued && mayBePending(this.#request)) this.placeLost()
    }
    return { status: 'busy', retryAfterMs: answer.retryAfterMs, requeued: answer.requeued }
  }

  /**
   * Whether this answers a repetition of the trigger, so late that a grant to the first may have been over by then. With it
   * went what others had left with its run, which would be another one under the same id.
   */
  #mayBeAnother({ status }: Done<AcquireAnswer | TriggerAnswer>, call: CallTimes): boolean {
    const { trigger } = this.#request
    if (!this.#repeated || !this.#triggers || trigger === undefined || trigger.note === null) return false
    if (status !== 'busy' && (status !== 'granted' || this.#isLate(call))) return false
    const { ttlMs } = this.claim
    const agoMs = this.#host.clock.monotonicMs() - this.#askedAtMs
    return agoMs >= Math.min(this.#host.beatMs, ttlMs - driftMs(ttlMs))
  }

  #tell(
    course: 'granted' | 'queued' | 'met',
    seen: Seen,
    { noted = null, pending = false }: { readonly noted?: string | null; readonly pending?: boolean } = {},
  ): void {
    const { trigger } = this.#request
    if (trigger === undefined || !this.#triggers) return
    this.#triggers = false
    trigger.onTold({ course, seen: seenBeside(this.owner, seen), noted, pending })
  }

  /** @param trigger the answer to a trigger; `null`: it was none */
  #granted(
    fence: number,
    call: CallTimes,
    then: ((asked: Asked) => void) | null,
    trigger: TriggerGranted | null = null,
  ): Asked | null {
    if (!this.#isLate(call)) {
      if (trigger !== null) this.#tell('granted', trigger.seen, trigger)
      this.#hold(fence, call)
      return this.#doubted ? HEARD : GRANTED // What is doubted is not asked for once more at once.
    }
    // Paused, or the answer took longer than the lease. Who asks again while still holding gets a fresh ttl.
    this.#lateGrants += 1
    if (this.#lateGrants < LATE_GRANTS) {
      this.ask(then ?? (asked => this.#planned(asked)))
      return null
    }
    const message = `the ${this.#host.kind} backend's answers take longer than the lease's ttl of ${this.claim.ttlMs} ms`
    this.fail(new SoloistError('BACKEND_UNAVAILABLE', message))
    return UNHEARD
  }

  /** Whether nothing is left of a lease that was granted then. */
  #isLate({ tookMs }: CallTimes): boolean {
    const { ttlMs } = this.claim
    return tookMs >= ttlMs - driftMs(ttlMs)
  }

  #hold(fence: number, call: CallTimes): void {
    const fallen = fallenFence(this.lock, this.owner, fence, this.#askedAtMs)
    if (fallen !== null) return this.#contradicted(fallen)
    if (this.#doubted) return
    // Who takes the lock from its owner knows that leases on it end before their time.
    const rivals = this.#request.replaces === undefined ? rivalsOf(this.lock, this.claim) : []
    if (rivals.length > 0) void this.#holdInsteadOf(rivals, fence, call)
    else this.#become(fence, call)
  }

  /** This client holds what excludes the grant, unless that was taken away: the backend is asked first. */
  async #holdInsteadOf(rivals: readonly HeldLease[], fence: number, call: CallTimes): Promise<void> {
    this.#doubted = true
    const found = await besideRivals(this.#host.collector, this.lock, this.claim, fence, rivals)
    this.#doubted = false
    if (this.#over) return
    if (found === 'over') return this.ask(asked => this.#planned(asked))
    if (found !== 'counts') return this.#contradicted(bothHeld(found, this.owner))
    const { ttlMs } = this.claim
    if (elapsedMs(this.#host.clock, call) < ttlMs - driftMs(ttlMs)) this.#become(fence, call)
    else this.ask(asked => this.#planned(asked))
  }

  #become(fence: number, call: CallTimes): void {
    let lease: HeldLease
    try {
      this.lock.granted(this.owner, fence, call.answeredAtMs)
      lease = new HeldLease(this.#host, this.lock, this.claim, this.#request, fence, call)
      this.#host.hold(lease, call.answeredAtMs)
    } catch (error) {
      return this.fail(error)
    }
    // The grant came before the answer to the trigger, which had queued the claim.
    this.#tell('queued', NOTHING_SEEN)
    this.#end()
    this.#host.onHeld(lease, this.#sinceMs)
    this.#withdraw(HEARD)
    this.#resolve(lease)
  }

  /** Whose word counts cannot be known, so nobody is told that it holds the lock. */
  #contradicted(error: SoloistError): void {
    this.#host.onContradiction(this, error)
    const message = `the ${this.#host.kind} backend's answer cannot be true`
    this.fail(new SoloistError('BACKEND_UNAVAILABLE', message, { cause: error }))
  }

  #faulty(error: SoloistError, askedAtMs: number): Asked {
    if (this.#over) {
      this.late(null)
      return UNHEARD
    }
    if (error.code !== 'BACKEND_UNAVAILABLE') {
      this.#refuse(error)
      return UNHEARD
    }
    this.#lastFault = error
    return { status: 'fault', error, askedAtMs }
  }

  /** The lock was not free, or not in time. */
  #refusal(): SoloistError {
    return new LockTimeoutError({
      lockName: this.claim.name,
      holder: this.#holder,
      waitedMs: this.#waitedMs(),
      bound: `${this.#request.waitMs} ms (waitMs)`,
      ...causedBy(this.#lastFault),
    })
  }

  /** Ends the wait when the backend is known to have noted nothing, or what it noted is taken back elsewhere. */
  #refuse(error: unknown): void {
    this.#end()
    this.#host.forget(this)
    this.#reject(error)
  }

  #end(): void {
    this.#over = true
    this.#timer?.cancel()
    if (this.#stopListening !== null) for (const stop of this.#stopListening) stop()
    if (!this.#waits) return
    this.lock.waiters -= 1
    this.#host.waiting.remove(this)
  }

  #waitedMs(): number {
    return this.#host.clock.monotonicMs() - this.#sinceMs
  }
}
