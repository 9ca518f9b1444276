/**
 * The port: everything a datastore must be able to do to be a Soloist backend.
 *
 * A backend executes one atomic step per call and answers at once. It never waits for a lock, never retries a claim
 * and never starts a lease's renewal: waiting, confirming, renewing, aborting and closing are written once, in
 * `lock/`, on top of this file. Whoever writes a backend runs `soloist/conformance` against it; the suite, not this
 * prose, has the last word.
 *
 * ## The model
 *
 * A *lock* is a name. A *claim* asks for it, `exclusive` or `shared`; shared claims may carry a `limit`. A claim that
 * was granted is *held* by its owner until it is released, or until its ttl has passed since the last grant or
 * renewal, judged by the datastore's clock alone.
 *
 * **The grant rule.** A claim is granted when nothing waits before it, and
 * - exclusive: nobody holds the lock;
 * - shared: nobody holds it exclusively, and fewer than `limit` owners hold it (no limit: any number).
 *
 * A step that frees a lock grants the claims at the head of its queue in the same step: one exclusive claim, or as
 * many consecutive shared ones as fit. Strictly first come, first served, by ticket.
 *
 * **Fences.** Every grant of a lock gets a fence greater than every fence of that lock before it:
 * `max(last + 1, the datastore's time in microseconds)`, always below 2^53. Since it starts from the clock, it still
 * rises when the datastore forgot the last one, and it tells when the lock was granted.
 *
 * **The limit.** The first shared claim that is granted or queued fixes the lock's limit for as long as the lock has any
 * holder or waiter; a shared claim with another limit is answered `limit` and changes nothing.
 *
 * **Safe to repeat.** Any reply may be lost, so any call may be sent again: an `acquire` by who already holds is a
 * grant with the same fence and a fresh ttl; a `release` of what is not held changes nothing.
 */

/** What a claim asks for: the lock alone, or together with others of its kind. */
export type ClaimMode = 'exclusive' | 'shared'

/** One request for one lock. Core validates every field before a backend sees it. */
export interface Claim {
  /** The lock's name without any prefix: 1 to 1,024 bytes of UTF-8, no lone surrogate, otherwise arbitrary. */
  readonly name: string
  /**
   * Who asks; unique per claim unless a caller chose otherwise. Opaque to the backend: two claims with the same name
   * and owner are the same claim, sent twice.
   */
  readonly owner: string
  /** The client that asks, and the address its grants are pushed to. Never contains a space. */
  readonly client: string
  readonly mode: ClaimMode
  /** For a shared claim: how many owners may hold the lock together; `null`: any number, and for an exclusive one. */
  readonly limit: number | null
  /** The lease's length in milliseconds, or `null` for a lock that does not expire. */
  readonly ttlMs: number | null
  /** A short text for operators, shown by `inspect` and `list`; `null`: nothing extra is stored. */
  readonly meta: string | null
}

/** What `acquire` may do beyond taking a free lock. */
export interface AcquireOptions {
  /**
   * Queue the claim when it cannot be granted now. `'new'` asks for a ticket behind everybody else; a number is a
   * ticket handed out before, and gives back that place if the datastore lost it.
   *
   * Such a call is also the client's *beat*: it shows the client alive, expires holders whose time is up and grants
   * what that allows. Core sends one for the oldest waiting claim per lock and client, at most
   * {@link Backend.beatMs} apart; the backend need not remember a client that was silent for three beats.
   */
  readonly ticket?: 'new' | number | undefined
  /**
   * Take the lock from exactly this owner, with a new fence: compare-and-set. Waiters stay where they are. If somebody
   * else holds the lock the answer is busy; if nobody does, the grant rule decides. Exclusive claims only.
   */
  readonly replaces?: string | undefined
}

export interface Granted {
  readonly status: 'granted'
  readonly fence: number
}

export interface Busy {
  readonly status: 'busy'
  /** One of the present holders, or `null` when only waiters stand before this claim. */
  readonly holder: string | null
  /**
   * When asking again could help if no grant is pushed before: the time until the first present lease runs out.
   * `0`: the step had more to do than one call may take, ask again at once. `null`: no lease is going to run out.
   */
  readonly retryAfterMs: number | null
  /** The place of a queued claim: lower is earlier. `null` when the claim was not to be queued. */
  readonly ticket: number | null
  /** The claim brought a ticket but was no longer in the queue, so its siblings may be missing too. */
  readonly requeued: boolean
}

export interface LimitMismatch {
  readonly status: 'limit'
  /** The limit that stands. */
  readonly limit: number | null
}

export type AcquireReply = Granted | Busy | LimitMismatch

/** What became of one claim in a batch of renewals. */
export type RenewReply =
  | { readonly status: 'held'; readonly fence: number }
  /** Not held by this owner any more. Renewing never revives. */
  | { readonly status: 'lost' }
  /** This claim's part of the batch got no answer; the others' answers stand. */
  | { readonly status: 'fault'; readonly error: unknown }

export interface ReleaseReply {
  /** Whether this owner held the lock until now. `false` on a replay, which is a success. */
  readonly released: boolean
  /**
   * The claims of the releasing client that this step granted, for a backend that tells them here and not by a push.
   * Default: none.
   */
  readonly handed?: readonly HandedGrant[]
}

/**
 * A queued claim was granted. It is held for a *grant lease*, a little longer than a beat, and counts only once its
 * owner confirmed it with `renew` (or a repeated `acquire`), which also starts its real ttl.
 */
export interface PushedGrant {
  readonly type: 'granted'
  readonly name: string
  readonly owner: string
  readonly fence: number
  readonly mode: ClaimMode
  readonly limit: number | null
}

/**
 * A grant told in the answer to a release. Since the release was sent before the step that granted it, its owner may rely
 * on the grant lease, counted from then, before it has confirmed the grant.
 */
export interface HandedGrant extends PushedGrant {
  /** The length of the grant lease, in milliseconds. */
  readonly leaseMs: number
}

/** Pushes may have been missed, for instance by a lost connection: core sends a beat for everything that waits. */
export interface PushGap {
  readonly type: 'gap'
}

/** A claim that this client watches is over: `watch` answers now with what it left. */
export interface Ended {
  readonly type: 'ended'
  readonly name: string
  readonly owner: string
}

/** Something on the way to the datastore is wrong that no step can be told of; it was mended, or an operator has to know. */
export interface StoreFault {
  readonly type: 'fault'
  readonly error: unknown
}

/** News a backend pushes to the one client it was opened for. */
export type GrantEvent = PushedGrant | PushGap | Ended | StoreFault

/** What the owner of a claim leaves with its release, for whoever watched it. */
export interface KeptResult {
  /** Well-formed text; core bounds its length. */
  readonly text: string
  /** How long it is kept, in milliseconds of the datastore's clock, from 1 on. */
  readonly keepMs: number
}

/** What became of a claim that somebody else watches. */
export type WatchReply =
  /** Its owner still holds it, or waits for it; the watching client is told when that ends. */
  | { readonly status: 'live' }
  /** It is over, and this is what was left with the release. */
  | { readonly status: 'result'; readonly text: string }
  /** It is over and left nothing, or what it left was kept long enough: expired, taken over, released without, or never there. */
  | { readonly status: 'gone' }

export interface Holder {
  readonly owner: string
  readonly mode: ClaimMode
  /** `0` when the lock was taken without one, as by a plain `SET NX` on Redis, or by a BullMQ job in the step that adds it. */
  readonly fence: number
  /** When the lock was granted, in epoch milliseconds of the datastore's clock; `null` where nobody noted it. */
  readonly acquiredAtMs: number | null
  /** When it runs out unless it is renewed, in epoch milliseconds of the datastore's clock; `null`: never. */
  readonly expiresAtMs: number | null
  readonly meta: string | null
}

export interface Waiter {
  readonly owner: string
  readonly mode: ClaimMode
  /** Since when it waits, in epoch milliseconds of the datastore's clock. */
  readonly waitingSinceMs: number
  readonly meta: string | null
}

/** A lock as an operator sees it, at one moment of the datastore. */
export interface LockState {
  readonly name: string
  /** In the order they were granted; empty when the lock is free but claims wait for it. */
  readonly holders: readonly Holder[]
  /** How many claims wait. */
  readonly waiting: number
  /** The first of them, in their order: at most 100. */
  readonly waiters: readonly Waiter[]
  /** The limit its shared claims agreed on, `null` when there is none. */
  readonly limit: number | null
  /** The datastore's time when it was looked at, in epoch milliseconds: ages are differences to this. */
  readonly atMs: number
}

/**
 * One client's connection to a datastore. Every method is one atomic step (`list`: one per lock) and safe to repeat.
 *
 * Faults are rejections, with whatever error the datastore's own client gave; core wraps them. Contention is an answer.
 * A call may take as long as the datastore does: core bounds it.
 */
export interface Backend {
  /** A short word for messages and for the operator: `'redis'`, `'sqlite'`, `'memory'`. */
  readonly kind: string
  /** How often core must repeat the oldest claim that waits, in milliseconds. Below the grant lease's length. */
  readonly beatMs: number

  /** Grant, queue or refuse a claim. */
  acquire(claim: Claim, options?: AcquireOptions): Promise<AcquireReply>

  /**
   * Start the ttl of each claim again, counted from the datastore's now; `ttlMs` may differ from before, also shorter.
   * Also what confirms a pushed grant. Replies are in the order of the claims.
   */
  renew(claims: readonly Claim[]): Promise<readonly RenewReply[]>

  /**
   * Give up a claim, held or waiting, and grant what that allows, in the same step. If the owner held the lock until
   * now, `result` is kept under the lock's name and this owner, also in the same step; else it is not kept at all.
   * Whoever watches the claim is told that it ended.
   */
  release(claim: Claim, result?: KeptResult): Promise<ReleaseReply>

  /**
   * What became of the claim of `owner` on the lock `name`. While it is live, `client` is told once when it ends: by a
   * release, with or without a result, at once; after a lease that ran out or was taken over at the latest when it asks
   * again. Core asks again at most {@link Backend.beatMs} apart; the backend need not remember a client that was silent
   * for three beats.
   */
  watch(name: string, owner: string, client: string): Promise<WatchReply>

  /** Set the one listener for what is pushed. Called once, before the first claim. */
  onGrant(listener: (event: GrantEvent) => void): void

  /** The lock's state, or `null` when nobody holds it or waits for it. */
  inspect(name: string): Promise<LockState | null>

  /**
   * Every lock whose name starts with `prefix` (taken literally) and that is held or waited for, each once, in no
   * promised order. A lock that comes or goes meanwhile may or may not be listed.
   */
  list(prefix: string): AsyncIterable<LockState>

  /**
   * Let go of connections, timers and listeners this backend made itself. What is held stays held: core has released
   * it before. Calls after it reject. Safe to call twice.
   */
  close(): Promise<void>
}
