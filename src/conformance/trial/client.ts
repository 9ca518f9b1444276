import assert from 'node:assert/strict'
import type {
  AcquireAnswer,
  Answer,
  Backend,
  BeginAnswer,
  BeginStep,
  Busy,
  Claim,
  ClaimId,
  Ended,
  HandedGrant,
  KeptResult,
  LockState,
  PushedGrant,
  RenewAnswer,
  RenewStep,
  Step,
  StoreEvent,
  TriggerGranted,
  TriggerMet,
  TriggerQueued,
  TriggerStep,
} from '../../backend.js'
import { acquire, begin, release, renew, type StepOf, type TriggerOptions, trigger } from './steps.js'

/** The ttl of a claim that is not meant to run out within its test. */
export const LONG_MS = 60_000
/** How long a push may take before it counts as missing. */
const PUSH_MS = 15_000
/** How often a step may be answered "again" before the backend counts as one that does nothing. */
const MOST_AGAIN = 1_000

/** How a claim is acquired: as {@link acquire} takes it. */
export interface TakeOptions {
  readonly ticket?: 'new' | number
  readonly replaces?: string
}

/** A grant this client was told of, by a push or in the answer to a call of its own. */
export interface Told extends ClaimId {
  readonly by: 'push' | 'answer'
  readonly fence: number
}

/** One client of the datastore under test: its port, what it was told, and assertions that say who owns what. */
export class TrialClient {
  /** Starts with the client's letter: `A` was opened first. */
  readonly id: string
  readonly backend: Backend
  /** Every grant this client was told of, oldest first. */
  readonly grants: Told[] = []
  /** The owners of the claims by which this client found out that it listens: what is told of them late is no news. */
  readonly #listenedWith = new Set<string>()
  /** Every end of a claim that was pushed to this client, oldest first. */
  readonly endings: Ended[] = []
  readonly #track: (claim: Claim) => void
  readonly #onPush = new Set<() => void>()
  /** The claims that were queued, with their tickets. */
  readonly #waiting = new Map<Claim, number>()
  #claims = 0

  constructor(id: string, backend: Backend, track: (claim: Claim) => void) {
    this.id = id
    this.backend = backend
    this.#track = track
    backend.open(id, event => this.#heard(event))
  }

  /** An exclusive claim by a new owner, unless `fields` say otherwise. */
  claim(name: string, fields: Partial<Claim> = {}): Claim {
    this.#claims += 1
    const owner = `${this.id}/${this.#claims}`
    const claim: Claim = { name, owner, mode: 'exclusive', limit: null, ttlMs: LONG_MS, meta: null, ...fields }
    this.#track(claim)
    return claim
  }

  /** A shared claim by a new owner. */
  shared(name: string, limit: number | null = null, fields: Partial<Claim> = {}): Claim {
    return this.claim(name, { mode: 'shared', limit, ...fields })
  }

  /**
   * Has a list of steps done, in one call unless the datastore answers that some are to be sent again.
   *
   * @returns the answers, none of which is a fault
   */
  async run<const S extends readonly Step[]>(steps: S): Promise<{ [I in keyof S]: StepOf<S[I]> }> {
    const answers: (Answer | undefined)[] = steps.map(() => undefined)
    let left = steps.map((step, i) => ({ step, i }))
    for (let calls = 0; calls === 0 || left.length > 0; calls += 1) {
      assert.ok(calls < MOST_AGAIN, `the datastore answered "again" ${calls} times`)
      const told = await this.backend.run(left.map(({ step }) => step))
      assert.equal(told.steps.length, left.length, 'a list of steps has as many answers')
      left.forEach(({ i }, k) => {
        answers[i] = told.steps[k]
      })
      for (const grant of told.handed) this.#handed(grant)
      left = left.filter(({ i }) => answers[i]?.status === 'again')
    }
    for (const answer of answers) {
      assert.notEqual(answer?.status, 'fault', `a step failed: ${answer?.status === 'fault' ? answer.error : ''}`)
    }
    return answers as { [I in keyof S]: StepOf<S[I]> }
  }

  /** Acquires the claim, which must be granted now. @returns its fence */
  async take(claim: Claim, options?: TakeOptions): Promise<number> {
    this.#leaves(claim)
    const [answer] = await this.run([acquire(claim, options)])
    return grantedTo(claim, answer)
  }

  /** Acquires the claim, which must be answered busy, and without a ticket must not be queued. */
  async refused(claim: Claim, options: TakeOptions = {}): Promise<Busy> {
    const [answer] = await this.run([acquire(claim, options)])
    assert.equal(answer.status, 'busy', `${claim.owner} should find ${shown(claim.name)} busy: ${shown(answer)}`)
    assert.ok(answer.status === 'busy')
    if (options.ticket === undefined) {
      assert.equal(answer.ticket, null, `${claim.owner} asked for no place in the queue of ${shown(claim.name)}`)
    } else if (answer.ticket !== null) this.#waiting.set(claim, answer.ticket)
    return answer
  }

  /** Acquires the claim, which must be queued. @returns its ticket */
  async queue(claim: Claim, ticket: 'new' | number = 'new'): Promise<number> {
    const answer = await this.refused(claim, { ticket })
    assert.ok(typeof answer.ticket === 'number', `${claim.owner} should get a ticket for ${shown(claim.name)}`)
    return answer.ticket
  }

  /** Asks again for a claim that waits. @returns the answer, which may be of any kind */
  async beat(claim: Claim, ticket: number): Promise<StepOf<ReturnType<typeof acquire>>> {
    const [answer] = await this.run([acquire(claim, { ticket })])
    return answer
  }

  /** Triggers a run. @returns the answer, which may be of any kind */
  async trigger(claim: Claim, options?: TriggerOptions): Promise<StepOf<TriggerStep>> {
    const [answer] = await this.run([trigger(claim, options)])
    if (answer.status === 'busy' && answer.ticket !== null) this.#waiting.set(claim, answer.ticket)
    else this.#leaves(claim)
    return answer
  }

  /** Triggers a run that must be granted now. */
  async starts(claim: Claim, options?: TriggerOptions): Promise<TriggerGranted> {
    const answer = await this.trigger(claim, options)
    assert.ok(answer.status === 'granted', `${claim.owner} should be granted ${shown(claim.name)}: ${shown(answer)}`)
    assertFence(answer.fence)
    return answer
  }

  /** Triggers a run that executes from now on. @returns its claim */
  async executing(name: string, fields: Partial<Claim> = {}): Promise<Claim> {
    const claim = this.claim(name, fields)
    await this.starts(claim, { begins: true })
    await this.begins(claim, [])
    return claim
  }

  /** Triggers a run that must be queued. */
  async waits(claim: Claim, options?: TriggerOptions): Promise<TriggerQueued & { readonly ticket: number }> {
    const answer = await this.trigger(claim, options)
    assert.ok(answer.status === 'busy', `${claim.owner} should wait for ${shown(claim.name)}: ${shown(answer)}`)
    const { ticket } = answer
    assert.ok(ticket !== null, `${claim.owner} should get a ticket for ${shown(claim.name)}`)
    return { ...answer, ticket }
  }

  /** Triggers a run that must be neither granted nor queued. `notedWith`: the run that its note must be left with. */
  async meets(claim: Claim, options: TriggerOptions, notedWith: ClaimId | null = null): Promise<TriggerMet> {
    const answer = await this.trigger(claim, options)
    assert.ok(
      answer.status === 'met',
      `${claim.owner} should only meet a run of ${shown(claim.name)}: ${shown(answer)}`,
    )
    assert.equal(answer.noted, notedWith?.owner ?? null, `the run with which ${claim.owner} left its note`)
    return answer
  }

  /** Begins a run. @returns the answer, which may be of any kind */
  async takesBack(run: ClaimId, { owner }: ClaimId): Promise<StepOf<BeginStep>> {
    const [answer] = await this.run([{ ...begin(run), takesBack: owner }])
    return answer
  }

  async begin(claim: ClaimId): Promise<StepOf<BeginStep>> {
    const [answer] = await this.run([begin(claim)])
    return answer
  }

  /** Begins a run with exactly these notes, each of an owner and its text, in this order. */
  async begins(claim: ClaimId, notes: readonly (readonly [owner: ClaimId, text: string])[]): Promise<void> {
    assertBegun(claim, await this.begin(claim), notes)
  }

  /** Begins a run that must not be held, and was not displaced. */
  async beginsNot(claim: ClaimId, why: string): Promise<void> {
    assert.deepEqual({ ...(await this.begin(claim)) }, { status: 'lost' }, why)
  }

  /** Renews one claim. */
  async renew(claim: Claim, fence: number | null = null): Promise<StepOf<RenewStep>> {
    const [answer] = await this.run([renew(claim, fence)])
    return answer
  }

  /** Renews a claim that must be held, and whose fence is this one, as far as the datastore noted it. */
  async renewed(claim: Claim, fence: number | null = null): Promise<void> {
    const answer = await this.renew(claim, fence)
    assert.equal(answer.status, 'held', `${claim.owner} should still hold ${shown(claim.name)}: ${shown(answer)}`)
    if (fence !== null) assertNoted(claim, answer, fence)
  }

  /** Renews a claim that must not be held. */
  async lost(claim: Claim, why: string): Promise<void> {
    assert.deepEqual({ ...(await this.renew(claim)) }, { status: 'lost' }, why)
  }

  /** Releases a claim that must be held until now. */
  async give(claim: ClaimId, result: KeptResult | null = null): Promise<void> {
    this.#leaves(claim)
    const [{ held }] = await this.run([release(claim, result)])
    assert.equal(held, true, `${claim.owner} should have held ${shown(claim.name)} until its release`)
  }

  /** Releases a claim that must not be held: because it waits, was released before, or has run out. */
  async giveNothing(claim: ClaimId, result: KeptResult | null = null): Promise<void> {
    this.#leaves(claim)
    const [{ held }] = await this.run([release(claim, result)])
    assert.equal(held, false, `${claim.owner} held nothing of ${shown(claim.name)} that it could release`)
  }

  /**
   * Waits until pushes reach this client: a backend may queue its first claim before they do, and tell of a gap once they
   * do. What it was told until then is forgotten.
   *
   * @param other another client, which holds a lock for this one to wait for
   */
  async listens(other: TrialClient): Promise<void> {
    const name = `listening of ${this.id}`
    const [theirs, mine] = [other.claim(name), this.claim(name)]
    await other.take(theirs)
    await this.queue(mine)
    await other.give(theirs)
    // As core does at each beat: a grant may have run out while this process was held up.
    const untilMs = performance.now() + PUSH_MS
    while (performance.now() < untilMs && !this.grants.some(grant => isOf(grant, mine))) {
      await this.#nextPush(this.backend.beatMs)
      await this.#askAgain()
    }
    await this.told(mine)
    await this.give(mine)
    // One that was asked for may be told twice, and the second time only now.
    this.#listenedWith.add(mine.owner)
    this.grants.length = 0
  }

  /** How this client was told that the waiting claim was granted, waited for. */
  async told(claim: ClaimId): Promise<Told> {
    const told = await this.#arrival(() => this.grants.find(grant => isOf(grant, claim)))
    if (told !== undefined) return told
    const state = await this.backend.inspect(claim.name)
    assert.fail(`nothing told ${claim.owner} of its grant within ${PUSH_MS} ms; the lock is ${shown(state)}`)
  }

  /**
   * Asks what became of the claim: a text is the result it must have left, `by` the claim by which it must have been
   * displaced. While it is live, this client watches it.
   */
  async sees(
    claim: ClaimId,
    expected: 'live' | 'gone' | { readonly text: string } | { readonly by: ClaimId },
  ): Promise<void> {
    const { name, owner } = claim
    const { results } = this.backend
    assert.ok(results !== undefined, 'the backend keeps results')
    const reply = await results.watch({ name, owner })
    const told =
      typeof expected === 'string'
        ? { status: expected }
        : 'by' in expected
          ? { status: 'displaced', by: expected.by.owner }
          : { status: 'result', text: expected.text }
    const question = `what became of ${shown(owner)} on ${shown(name)}`
    assert.deepEqual({ ...reply }, told, `${question}: ${shown(told)}, not ${shown(reply)}`)
  }

  /** The push of the end of a claim that this client watches, waited for. */
  async ended(claim: ClaimId): Promise<void> {
    const ending = await this.#arrival(() => this.endings.find(ending => isOf(ending, claim)))
    const expected = `${this.id}, which watches ${claim.owner} on ${shown(claim.name)}, should be told of its end`
    assert.ok(ending !== undefined, `${expected} within ${PUSH_MS} ms`)
    assert.deepEqual({ ...ending }, { type: 'ended', name: claim.name, owner: claim.owner }, expected)
  }

  /** The lock's state, which must not be null. */
  async state(name: string): Promise<LockState> {
    const state = await this.backend.inspect(name)
    assert.ok(state !== null, `${shown(name)} should be in use, but inspect answers null`)
    return state
  }

  /** Asserts that exactly these claims hold the lock, in the order they were granted. */
  async assertHeldBy(name: string, ...claims: readonly ClaimId[]): Promise<void> {
    const state = await this.backend.inspect(name)
    const owners = state?.holders.map(holder => holder.owner) ?? []
    const expected = claims.map(claim => claim.owner)
    assert.deepEqual(owners, expected, `${shown(name)} should be held by ${list(expected)}, not by ${list(owners)}`)
    assert.equal(state?.holding ?? 0, expected.length, `the number of claims that hold ${shown(name)}`)
  }

  /** Asserts that exactly these claims wait for the lock, first come first. */
  async assertWaiting(name: string, ...claims: readonly ClaimId[]): Promise<void> {
    const state = await this.backend.inspect(name)
    const owners = state?.waiters.map(waiter => waiter.owner) ?? []
    const expected = claims.map(claim => claim.owner)
    assert.deepEqual(owners, expected, `${list(expected)} should wait for ${shown(name)}, not ${list(owners)}`)
    assert.equal(state?.waiting ?? 0, expected.length, `the number of claims that wait for ${shown(name)}`)
  }

  /** Asserts that this is the lock's pending run, and that so many notes were left with it. `null`: there is none. */
  async assertPending(name: string, claim: ClaimId | null, notes = 0): Promise<void> {
    const state = await this.backend.inspect(name)
    const run = state?.pending
    const told = run ? { owner: run.owner, notes: run.notes } : null
    const expected = claim === null ? null : { owner: claim.owner, notes }
    assert.deepEqual(told, expected, `the pending run of ${shown(name)} should be ${shown(expected)}: ${shown(state)}`)
  }

  /** Asserts that nobody holds the lock or waits for it. */
  async assertFree(name: string): Promise<void> {
    const state = await this.backend.inspect(name)
    assert.equal(state, null, `${shown(name)} should be free, but is ${shown(state)}`)
  }

  /** What `find` finds, now or once it was pushed; `undefined`: it did not come in time. */
  async #arrival<T>(find: () => T | undefined): Promise<T | undefined> {
    const deadline = performance.now() + PUSH_MS
    for (let found = find(); ; found = find()) {
      const left = deadline - performance.now()
      if (found !== undefined || left <= 0) return found
      await this.#nextPush(left)
    }
  }

  /** It is not asked for any more. */
  #leaves(claim: ClaimId): void {
    for (const waiting of this.#waiting.keys()) if (isOf(waiting, claim)) this.#waiting.delete(waiting)
  }

  #handed({ name, owner, fence }: HandedGrant): void {
    this.#wake(() => this.grants.push({ name, owner, fence, by: 'answer' }))
  }

  #heard(event: StoreEvent): void {
    if (event.type === 'granted') {
      const { name, owner, fence }: PushedGrant = event
      if (this.#listenedWith.has(owner)) return
      this.#wake(() => this.grants.push({ name, owner, fence, by: 'push' }))
    } else if (event.type === 'ended') this.#wake(() => this.endings.push(event))
    else if (event.type === 'gap') void this.#askAgain()
  }

  /** Pushes may have been missed: asks for all that waits, as core does. A failure shows in what is not told. */
  async #askAgain(): Promise<void> {
    const asked = [...this.#waiting].filter(([claim]) => !this.grants.some(grant => isOf(grant, claim)))
    await Promise.allSettled(
      asked.map(async ([claim, ticket]) => {
        const [answer] = (await this.backend.run([acquire(claim, { ticket })])).steps
        if (!this.#waiting.has(claim)) return
        if (answer?.status === 'granted') this.#handed({ name: claim.name, owner: claim.owner, fence: answer.fence })
      }),
    )
  }

  #wake(note: () => void): void {
    note()
    for (const wake of this.#onPush) wake()
  }

  #nextPush(withinMs: number): Promise<void> {
    return new Promise(resolve => {
      const wake = () => {
        clearTimeout(timer)
        this.#onPush.delete(wake)
        resolve()
      }
      const timer = setTimeout(wake, withinMs)
      this.#onPush.add(wake)
    })
  }
}

/** The fence of an answer that must be a grant. */
export function grantedTo(claim: ClaimId, answer: AcquireAnswer): number {
  assert.ok(answer.status === 'granted', `${claim.owner} should be granted ${shown(claim.name)}: ${shown(answer)}`)
  assertFence(answer.fence)
  return answer.fence
}

/** An answer that must be a run that has begun, with exactly these notes in this order. */
export function assertBegun(
  claim: ClaimId,
  answer: BeginAnswer,
  notes: readonly (readonly [owner: ClaimId, text: string])[],
): void {
  assert.ok(answer.status === 'begun', `${claim.owner} should begin on ${shown(claim.name)}: ${shown(answer)}`)
  const told = answer.notes.map(({ owner, text }) => ({ owner, text }))
  const expected = notes.map(([{ owner }, text]) => ({ owner, text }))
  assert.deepEqual(told, expected, `${claim.owner} should begin with the notes ${shown(expected)}, not ${shown(told)}`)
}

/** The fence a renewal shows is this one, as far as the datastore noted it. */
export function assertNoted(claim: ClaimId, answer: RenewAnswer, fence: number): void {
  assert.ok(answer.status === 'held', `${claim.owner} should hold ${shown(claim.name)}: ${shown(answer)}`)
  assert.equal(answer.fence ?? fence, fence, `the fence of ${claim.owner} by renewal`)
}

/** A number that a fence can be: `0` stands for none. */
export function assertFence(fence: number): void {
  assert.ok(Number.isSafeInteger(fence) && fence > 0, `a fence is a whole number above 0 and below 2^53, not ${fence}`)
}

/** A value in a form that fits into an assertion's message. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length <= 500 ? text : `${text.slice(0, 500)}…`
}

function isOf(event: ClaimId, claim: ClaimId): boolean {
  return event.name === claim.name && event.owner === claim.owner
}

function list(owners: readonly string[]): string {
  return owners.length === 0 ? 'nobody' : owners.join(', ')
}
