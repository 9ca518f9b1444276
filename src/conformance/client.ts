import assert from 'node:assert/strict'
import type {
  AcquireOptions,
  Backend,
  Busy,
  Claim,
  Ended,
  GrantEvent,
  KeptResult,
  LockState,
  PushedGrant,
  RenewReply,
} from '../backend.js'

/** The ttl of a claim that is not meant to run out within its test. */
export const LONG_MS = 60_000
/** How long a push may take before it counts as missing. */
const PUSH_MS = 5_000

/** One client of the datastore under test: its port, what was pushed to it, and assertions that say who owns what. */
export class TrialClient {
  /** Starts with the client's letter: `A` was opened first. */
  readonly id: string
  readonly backend: Backend
  /** Every grant this client was told of, oldest first. */
  readonly pushes: PushedGrant[] = []
  /** Every end of a claim that was pushed to this client, oldest first. */
  readonly endings: Ended[] = []
  readonly #track: (claim: Claim) => void
  readonly #onPush = new Set<() => void>()
  #claims = 0

  constructor(id: string, backend: Backend, track: (claim: Claim) => void) {
    this.id = id
    this.backend = backend
    this.#track = track
    backend.onGrant(event => this.#pushed(event))
  }

  /** An exclusive claim by a new owner, unless `fields` say otherwise. */
  claim(name: string, fields: Partial<Claim> = {}): Claim {
    this.#claims += 1
    const owner = `${this.id}/${this.#claims}`
    const claim: Claim = {
      name,
      owner,
      client: this.id,
      mode: 'exclusive',
      limit: null,
      ttlMs: LONG_MS,
      meta: null,
      ...fields,
    }
    this.#track(claim)
    return claim
  }

  /** A shared claim by a new owner. */
  shared(name: string, limit: number | null = null, fields: Partial<Claim> = {}): Claim {
    return this.claim(name, { mode: 'shared', limit, ...fields })
  }

  /** Acquires the claim, which must be granted now. @returns its fence */
  async take(claim: Claim, options?: AcquireOptions): Promise<number> {
    const reply = await this.backend.acquire(claim, options)
    assert.equal(reply.status, 'granted', `${claim.owner} should be granted ${shown(claim.name)}: ${shown(reply)}`)
    return fenceOf(reply)
  }

  /** Acquires the claim, which must be answered busy, and without a ticket must not be queued. */
  async refused(claim: Claim, options?: AcquireOptions): Promise<Busy> {
    const reply = await this.backend.acquire(claim, options)
    assert.equal(reply.status, 'busy', `${claim.owner} should find ${shown(claim.name)} busy: ${shown(reply)}`)
    assert.ok(reply.status === 'busy')
    if (options?.ticket === undefined) {
      assert.equal(reply.ticket, null, `${claim.owner} asked for no place in the queue of ${shown(claim.name)}`)
    }
    return reply
  }

  /** Acquires the claim, which must be queued. @returns its ticket */
  async queue(claim: Claim, ticket: 'new' | number = 'new'): Promise<number> {
    const reply = await this.refused(claim, { ticket })
    assert.ok(typeof reply.ticket === 'number', `${claim.owner} should get a ticket for ${shown(claim.name)}`)
    return reply.ticket
  }

  /** Asks again for a claim that waits. @returns the reply, which may be of any kind */
  async beat(claim: Claim, ticket: number): ReturnType<Backend['acquire']> {
    return await this.backend.acquire(claim, { ticket })
  }

  /** Renews one claim. */
  async renew(claim: Claim): Promise<RenewReply> {
    const replies = await this.backend.renew([claim])
    assert.equal(replies.length, 1, 'a renewal of one claim should be answered with one reply')
    return replies[0] as RenewReply
  }

  /** Renews a claim that must be held. @returns its fence */
  async renewed(claim: Claim): Promise<number> {
    const reply = await this.renew(claim)
    assert.equal(reply.status, 'held', `${claim.owner} should still hold ${shown(claim.name)}: ${shown(reply)}`)
    return fenceOf(reply)
  }

  /** Releases a claim that must be held until now. */
  async give(claim: Claim, result?: KeptResult): Promise<void> {
    const released = await this.#release(claim, result)
    assert.equal(released, true, `${claim.owner} should have held ${shown(claim.name)} until its release`)
  }

  /** Releases a claim that must not be held: because it waits, was released before, or has run out. */
  async giveNothing(claim: Claim, result?: KeptResult): Promise<void> {
    const released = await this.#release(claim, result)
    assert.equal(released, false, `${claim.owner} held nothing of ${shown(claim.name)} that it could release`)
  }

  /** The push of this claim's grant, waited for. */
  async pushed(claim: Claim): Promise<PushedGrant> {
    const push = await this.#arrival(() => this.pushes.find(push => isOf(push, claim)))
    if (push !== undefined) return push
    const state = await this.backend.inspect(claim.name)
    assert.fail(`no push told ${claim.owner} of its grant within ${PUSH_MS} ms; the lock is ${shown(state)}`)
  }

  /** Asks what became of the claim: a text is the result it must have left. While it is live, this client watches it. */
  async sees(claim: Claim, expected: 'live' | 'gone' | { readonly text: string }): Promise<void> {
    const reply = await this.backend.watch(claim.name, claim.owner, this.id)
    const told = typeof expected === 'string' ? { status: expected } : { status: 'result', text: expected.text }
    const question = `what became of ${shown(claim.owner)} on ${shown(claim.name)}`
    assert.deepEqual({ ...reply }, told, `${question}: ${shown(told)}, not ${shown(reply)}`)
  }

  /** The push of the end of a claim that this client watches, waited for. */
  async ended(claim: Claim): Promise<void> {
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
  async assertHeldBy(name: string, ...claims: readonly Claim[]): Promise<void> {
    const owners = (await this.backend.inspect(name))?.holders.map(holder => holder.owner) ?? []
    const expected = claims.map(claim => claim.owner)
    assert.deepEqual(owners, expected, `${shown(name)} should be held by ${list(expected)}, not by ${list(owners)}`)
  }

  /** Asserts that exactly these claims wait for the lock, first come first. */
  async assertWaiting(name: string, ...claims: readonly Claim[]): Promise<void> {
    const state = await this.backend.inspect(name)
    const owners = state?.waiters.map(waiter => waiter.owner) ?? []
    const expected = claims.map(claim => claim.owner)
    assert.deepEqual(owners, expected, `${list(expected)} should wait for ${shown(name)}, not ${list(owners)}`)
    assert.equal(state?.waiting ?? 0, expected.length, `the number of claims that wait for ${shown(name)}`)
  }

  /** Asserts that nobody holds the lock or waits for it. */
  async assertFree(name: string): Promise<void> {
    const state = await this.backend.inspect(name)
    assert.equal(state, null, `${shown(name)} should be free, but is ${shown(state)}`)
  }

  /** A grant told in the answer counts as pushed: how a client hears of it is the backend's choice. */
  async #release(claim: Claim, result: KeptResult | undefined): Promise<boolean> {
    const { released, handed = [] } = await this.backend.release(claim, result)
    for (const { leaseMs, ...grant } of handed) {
      assert.ok(leaseMs > this.backend.beatMs, `a grant lease of ${leaseMs} ms should outlast a beat`)
      this.#pushed(grant)
    }
    return released
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

  #pushed(event: GrantEvent): void {
    if (event.type === 'gap' || event.type === 'fault') return
    if (event.type === 'granted') this.pushes.push(event)
    else this.endings.push(event)
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

/** A value in a form that fits into an assertion's message. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value)
  return text.length <= 500 ? text : `${text.slice(0, 500)}…`
}

function isOf(event: { readonly name: string; readonly owner: string }, claim: Claim): boolean {
  return event.name === claim.name && event.owner === claim.owner
}

function list(owners: readonly string[]): string {
  return owners.length === 0 ? 'nobody' : owners.join(', ')
}

function fenceOf(reply: object): number {
  const { fence } = reply as { fence?: unknown }
  assert.ok(Number.isSafeInteger(fence) && (fence as number) > 0, `a fence is a positive safe integer: ${shown(reply)}`)
  return fence as number
}
