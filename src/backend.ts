/**
 * The port: everything a datastore must be able to do to be a Soloist backend.
 *
 * A backend is given a list of steps and answers each of them at once. It never waits for a lock, never retries a claim
 * and never starts a lease's renewal: collecting steps, waiting, confirming, renewing, aborting and closing are written
 * once, in `lock/`, on top of this file. Whoever writes a backend runs `soloist/conformance` against it; the suite, not
 * this prose, has the last word.
 *
 * ## The model
 *
 * A *lock* is a name. A *claim* asks for it, `exclusive` or `shared`; shared claims may carry a `limit`. A claim is
 * identified by its name and its owner; everything else that is known of it was said when it was acquired. A claim that
 * was granted is *held* by its owner until it is released, or until its ttl has passed since the last grant or renewal,
 * judged by the datastore's clock alone.
 *
 * **The grant rule.** A claim is granted when nothing waits before it, and
 * - exclusive: nobody holds the lock;
 * - shared: nobody holds it exclusively, and fewer than `limit` owners hold it (no limit: any number).
 *
 * Each claim is judged by its own limit, so that two versions of a program with different limits can run side by side.
 *
 * A step that frees a lock grants the claims at the head of its queue in the same step: one exclusive claim, or as
 * many consecutive shared ones as fit. Strictly first come, first served, by ticket.
 *
 * **Fences.** Every grant of a lock gets a fence greater than every fence of that lock before it: at least the
 * datastore's time in microseconds, always below 2^53. Since it starts from the clock, it still rises when the datastore
 * forgot the last one, and it tells when the lock was granted.
 *
 * **Safe to repeat.** Any answer may be lost, so any step may be sent again: an `acquire` by who already holds is a
 * grant with a fresh ttl, and with the same fence or a higher one; a `release` of what is not held changes nothing.
 */

/** What a claim asks for: the lock alone, or together with others of its kind. */
export type ClaimMode = 'exclusive' | 'shared'

/** What tells a claim from every other. */
export interface ClaimId {
  /** The lock's name without any prefix: 1 to 1,024 bytes of UTF-8, no lone surrogate, otherwise arbitrary. */
  readonly name: string
  /** Who asks; unique per claim unless a caller chose otherwise. Opaque to the backend. */
  readonly owner: string
}

/** One request for one lock. Core validates every field before a backend sees it. */
export interface Claim extends ClaimId {
  readonly mode: ClaimMode
  /** For a shared claim: how many owners may hold the lock together; `null`: any number, and for an exclusive one. */
  readonly limit: number | null
  /**
   * The lease's length in milliseconds, or `null` for a lock that does not expire. It counts from the grant, also for a
   * claim that waited first and was granted in the answer to another step of its client.
   */
  readonly ttlMs: number | null
  /** A short text for operators, shown by `inspect` and `list`; `null`: nothing extra is stored. */
  readonly meta: string | null
  /**
   * The claim is of no use once the process of this client has ended, so a backend that can prove that end may let go of
   * it sooner than its ttl says. Absent or `false`: it stands for its whole ttl, whatever becomes of the process.
   */
  readonly endsWithProcess?: boolean | undefined
  /**
   * The claim waits until it is released, whether or not its client is heard of, and once granted is held for its ttl at
   * once, without a confirmation: for what has a life of its own in another system. Whoever's step grants it is told so in
   * {@link Answers.handed}; where no step is made, it is not granted. Absent or `false`: it waits as long as its client does.
   */
  readonly durable?: boolean | undefined
  /**
   * Whether `inspect` must show fence and age from the grant on, for whoever decides by them. By default a backend may save
   * that and note them with the first renewal.
   */
  readonly noted?: boolean | undefined
}

/** Grant, queue or refuse a claim. */
export interface AcquireStep {
  readonly kind: 'acquire'
  readonly claim: Claim
  /**
   * Queue the claim when it cannot be granted now. `'new'` asks for a ticket behind everybody else; a number is a
   * ticket handed out before, and gives back that place if the datastore lost it; `null`: it is not queued.
   *
   * Such a step is also the client's *beat*: it shows the client alive, expires holders whose time is up and grants
   * what that allows. Core sends one for the oldest waiting claim per lock, at most {@link Backend.beatMs} apart; the
   * backend need not remember a client that was silent for three beats.
   */
  readonly ticket: 'new' | number | null
  /**
   * Take from exactly this owner what it has: compare-and-set. That is the lock, with a new fence, where both claims are of one
   * mode; or, with a `ticket`, its place in the queue, unless the claim has one before it. Waiters stay where they are. If the owner has
   * neither, the claim is answered as without this. A client asks again for a claim whose place was taken, unless it is durable.
   */
  readonly replaces: string | null
}

/**
 * Start the ttl of a held claim again, counted from the datastore's now; `ttlMs` may differ from before, also shorter.
 * Also what confirms a pushed grant.
 */
export interface RenewStep extends ClaimId {
  readonly kind: 'renew'
  readonly ttlMs: number | null
  /**
   * The fence its owner was told, which a backend may note for operators where it has none noted; it never replaces one.
   * `null`: not known, also when a pushed grant is confirmed, for its fence is the datastore's to tell.
   */
  readonly fence: number | null
  /** As in {@link Claim}, from now on: the process is that of the client that renews. */
  readonly endsWithProcess?: boolean | undefined
}

/**
 * Give up a claim, held or waiting, and grant what that allows, in the same step. If the owner held the lock until now, `result`
 * is kept under the lock's name and this owner; else it is not.
 */
export interface ReleaseStep extends ClaimId {
  readonly kind: 'release'
  /** Only given to a backend with {@link Backend.results}. */
  readonly result: KeptResult | null
}

/**
 * What a trigger does where its claim is not granted at once:
 * - `'meet'`: nothing; it is told what it met.
 * - `'wait'`: the claim is queued behind everybody else, for a run of its own, which no debounce puts off.
 * - `'follow'`: the note is left with the pending run; where there is none, the claim is queued and becomes the pending run.
 * - `'displace'`: the claim takes the place of the pending run, whose watchers are told so; where there is none, it is queued
 *   and becomes the pending run.
 */
export type TriggerAction = 'meet' | 'wait' | 'follow' | 'displace'

/**
 * Ask for a run of a job: as `acquire`, and where the claim is not granted, one more choice in the same step.
 *
 * At most one claim of a lock is its *pending run*: the next run, which has not begun. Others can still add to it, by leaving a
 * note, or take its place. It is pending from when it was queued (or granted, with {@link TriggerStep.begins}) until its owner
 * makes a {@link BeginStep}. It keeps its place in the queue like any claim, and its client repeats it by an `acquire` with its
 * ticket. A pending run that is released, or whose client fell silent, is none any more, and its notes are dropped with it.
 *
 * Where no run is pending any more, the claim at the head of the queue becomes it, with its note, if it came by `'wait'` with
 * `begins`. Where several hold the lock, a claim with `begins` may be granted while another run is pending. Nobody can add to
 * its run then, and what it begins with is its own note.
 *
 * A run is displaced where it stands. If it waits, the new claim gets its place in the queue. If it holds the lock, the new claim
 * is granted; or, where it does not fit or is put off by its debounce, it is queued before everybody else.
 */
export interface TriggerStep {
  readonly kind: 'trigger'
  readonly claim: Claim
  /** What to do while the lock is held and no run is pending. */
  readonly running: TriggerAction
  /** What to do while a run is pending. */
  readonly pending: TriggerAction
  /**
   * What the run is to be told if this trigger becomes, or adds to, the pending run; `null`: nothing. It is kept under the
   * claim's owner: the same owner's note is kept once. With `'displace'` the notes of the run that is displaced are dropped.
   */
  readonly note: string | null
  /** The claim's owner makes a {@link BeginStep} before it runs, also if it is granted at once. Claims that become pending always do. */
  readonly begins: boolean
  /**
   * The run is not to start before so long after the last trigger that added to it or took its place, and need not wait
   * longer than `maxWaitMs` after the first. The claim is not granted at once then, but becomes the pending run. A trigger that
   * adds to a run that was granted does not put it off. `null`: none; what earlier triggers asked for stands.
   */
  readonly debounce: { readonly waitMs: number; readonly maxWaitMs: number } | null
  /** An owner that is known to be dead: whatever it holds or waits for is removed first, as by a `release` without a result. */
  readonly without: string | null
  /** For how long it is kept that a pending run was displaced, and by whom, in milliseconds. */
  readonly keepMs: number
}

/**
 * The owner of the pending run begins it: from now on nobody adds to it or takes its place. Safe to repeat until it is released.
 *
 * Of a run that ends with others' notes, and that its owner did not begin, word is kept for a while, for who takes back a note.
 */
export interface BeginStep extends ClaimId {
  readonly kind: 'begin'
  /**
   * A trigger takes back its note, this owner's, for nobody knows whether the run's owner will ever begin it. If that did, the
   * answer has the note, which stays. Else it is gone, and the run is closed, be it held or waiting: it keeps the lock or its place,
   * nobody adds to it any more or takes its place, no debounce puts it off, it does not become the pending run, and its owner is told
   * of the other notes when it begins it. `displaced` by `''`: the run ended and its owner had not begun it; `lost`: it began and ended.
   */
  readonly takesBack?: string | undefined
}

/** One atomic change of one lock. */
export type Step = AcquireStep | RenewStep | ReleaseStep | TriggerStep | BeginStep

export interface Granted {
  readonly status: 'granted'
  readonly fence: number
}

export interface Busy {
  readonly status: 'busy'
  /** One of the present holders, or `null` when only waiters stand before this claim. */
  readonly holder: string | null
  /**
   * When asking again could help if no grant is told before: the time until the first present lease runs out, in
   * milliseconds. `0`: the step had more to do than one call may take, ask again at once. `null`: no lease is going to
   * run out.
   */
  readonly retryAfterMs: number | null
  /**
   * The place of a queued claim: lower is earlier. `null` when the claim was not to be queued; also to a claim that brought its
   * ticket and was displaced, which is not queued again as long as that is kept.
   */
  readonly ticket: number | null
  /** The claim brought a ticket but was no longer in the queue, so its siblings may be missing too. */
  readonly requeued: boolean
}

export interface Held {
  readonly status: 'held'
  /**
   * The fence of this grant where the datastore noted it, never one the step brought: always that of a grant that was
   * pushed and not confirmed before.
   */
  readonly fence: number | null
}

/** Not held by this owner any more. Renewing never revives. */
export interface Lost {
  readonly status: 'lost'
}

export interface Released {
  readonly status: 'released'
  /** Whether this owner held the lock until now. `false` on a repetition, which is a success. */
  readonly held: boolean
}

/** Nothing was done: the call had too much to do. Later steps of the lock are answered so, too; they are sent again before others. */
export interface Again {
  readonly status: 'again'
}

/** This step failed, or it is unknown whether it was done; the others' answers stand. */
export interface Fault {
  readonly status: 'fault'
  readonly error: unknown
}

/** A run that a trigger saw. */
export interface SeenRun {
  readonly owner: string
  /** For how long it has held the lock or waited, in milliseconds of the datastore's clock; `null`: not noted. */
  readonly ageMs: number | null
}

/** What a trigger saw before it changed anything. Its own claim, which a repeated trigger finds, counts as nobody. */
export interface Seen {
  /** The first holder, unless that is the pending run. */
  readonly running: SeenRun | null
  readonly pending: SeenRun | null
  /** The first claim that waits, unless that is the pending run. */
  readonly waiting: SeenRun | null
}

/** The claim holds the lock, possibly in the place of a pending run that was granted and had not begun. */
export interface TriggerGranted extends Granted {
  readonly seen: Seen
  /** Whether it is the pending run, as asked for, or as a repetition finds it: its owner makes a {@link BeginStep} before it runs. */
  readonly pending: boolean
}

/** The trigger's claim is queued. */
export interface TriggerQueued extends Busy {
  readonly seen: Seen
}

/** The trigger's claim is neither granted nor queued. */
export interface TriggerMet {
  readonly status: 'met'
  readonly seen: Seen
  /** The owner of the run that the note was left with: the pending one; on a repetition it may have begun. `null`: it was not left. */
  readonly noted: string | null
}

/** The run has begun. `notes`: what was left with it, in the order they came, each once; or the one that was not taken back. */
export interface Begun {
  readonly status: 'begun'
  readonly notes: readonly Note[]
}

/** What a trigger left with the pending run. */
export interface Note {
  /** The owner of the trigger's claim. */
  readonly owner: string
  readonly text: string
}

/** Another trigger took the place of the run before it began. `by` `''`, which only triggers are told: the place was lost. */
export interface Displaced {
  readonly status: 'displaced'
  readonly by: string
}

/** `displaced`: a repetition, whose claim was displaced meanwhile. */
export type TriggerAnswer = TriggerGranted | TriggerQueued | TriggerMet | Displaced | Again | Fault
export type BeginAnswer = Begun | Displaced | Lost | Again | Fault
export type AcquireAnswer = Granted | Busy | Again | Fault
export type RenewAnswer = Held | Lost | Again | Fault
export type ReleaseAnswer = Released | Again | Fault
export type Answer = AcquireAnswer | RenewAnswer | ReleaseAnswer | TriggerAnswer | BeginAnswer

/** What a list of steps came to. */
export interface Answers {
  /** One for each step, in their order. */
  readonly steps: readonly Answer[]
  /**
   * Waiting claims of this client that these steps granted, for a backend that tells them here and not by a push; and durable
   * claims of anybody.
   */
  readonly handed: readonly HandedGrant[]
}

/** A waiting claim was granted in a call of its client: its own ttl, counted from when the call was sent, needs no confirmation. */
export interface HandedGrant extends ClaimId {
  readonly fence: number
}

/**
 * A waiting claim was granted. It is held for a *grant lease*, a little longer than a beat and at most as long as its ttl,
 * and counts only once its owner confirmed it with a renewal (or a repeated `acquire`), which also starts its own ttl.
 */
export interface PushedGrant extends ClaimId {
  readonly type: 'granted'
  readonly fence: number
}

/** Pushes may have been missed, for instance by a lost connection: core sends a beat for everything that waits. */
export interface PushGap {
  readonly type: 'gap'
}

/** A claim that this client watches is over: `watch` answers now with what it left. */
export interface Ended extends ClaimId {
  readonly type: 'ended'
}

/** Something on the way to the datastore is wrong that no step can be told of; it was mended, or an operator has to know. */
export interface StoreFault {
  readonly type: 'fault'
  readonly error: unknown
}

/** News a backend tells the one client it was opened for. */
export type StoreEvent = PushedGrant | PushGap | Ended | StoreFault

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
  /** Another trigger took its place before it began. */
  | { readonly status: 'displaced'; readonly by: string }
  /** It is over and left nothing, or what it left was kept long enough: expired, taken over, released without, or never there. */
  | { readonly status: 'gone' }

/** What jobs need beyond locks: results that are kept, and claims of others that are watched until they end. */
export interface ResultStore {
  /**
   * What became of a claim. While it is live, this client is told once when it ends ({@link Ended}): by a release, with
   * or without a result, at once; after a lease that ran out or was taken over at the latest when it asks again. Core
   * asks again at most {@link Backend.beatMs} apart; the backend need not remember a client that was silent for three
   * beats.
   */
  watch(claim: ClaimId): Promise<WatchReply>
}

export interface Holder {
  readonly owner: string
  readonly mode: ClaimMode
  /** The limit this claim was judged by; `null`: none. */
  readonly limit: number | null
  /**
   * `0` while it is not noted: of a lock taken by something that is no Soloist client, or, on Redis, of one that has not
   * been renewed yet, has no `meta` and was not to be {@link Claim.noted}.
   */
  readonly fence: number
  /** When the lock was granted, in epoch milliseconds of the datastore's clock; `null` where the fence is `0`. */
  readonly acquiredAtMs: number | null
  /** When it runs out unless it is renewed, in epoch milliseconds of the datastore's clock; `null`: never. */
  readonly expiresAtMs: number | null
  readonly meta: string | null
}

export interface Waiter {
  readonly owner: string
  readonly mode: ClaimMode
  /** The limit this claim will be judged by; `null`: none. */
  readonly limit: number | null
  /** Since when it waits, in epoch milliseconds of the datastore's clock. */
  readonly waitingSinceMs: number
  readonly meta: string | null
  /** As in {@link Claim}. */
  readonly durable: boolean
}

/** A lock's next run, as long as it has not begun. */
export interface PendingRun {
  readonly owner: string
  /** How many notes were left with it. */
  readonly notes: number
  /** Before when it does not start, in epoch milliseconds of the datastore's clock; `null`: as soon as it can. */
  readonly notBeforeMs: number | null
}

/** A lock as an operator sees it, at one moment of the datastore. */
export interface LockState {
  readonly name: string
  /** How many claims hold it. */
  readonly holding: number
  /** The first of them, in the order they were granted: at most 100. Empty when the lock is free but claims wait for it. */
  readonly holders: readonly Holder[]
  /** The pending run, if there is one: it waits, or holds the lock and has not begun. */
  readonly pending: PendingRun | null
  /** How many claims wait. */
  readonly waiting: number
  /** The first of them, in their order: at most 100. */
  readonly waiters: readonly Waiter[]
  /** The datastore's time when it was looked at, in epoch milliseconds: ages are differences to this. */
  readonly atMs: number
}

/** A backend in a database that the application writes to as well. `Tx` is one of the application's transactions there. */
export interface GuardingBackend<Tx> extends Backend {
  /**
   * In an open transaction of the application's: whether the owner holds the lock with this fence. If it does, the lock is granted
   * to nobody else before that transaction has ended.
   *
   * Held after abort or rejection: what was held before.
   */
  guard(claim: ClaimId, fence: number, tx: Tx): Promise<boolean>
}

/**
 * One client's connection to a datastore. Safe to repeat, all of it.
 *
 * Faults are rejections, with whatever error the datastore's own client gave; core wraps them. Contention is an answer.
 * A call may take as long as the datastore does: core bounds it.
 */
export interface Backend {
  /** A short word for messages and for the operator: `'redis'`, `'sqlite'`, `'memory'`. */
  readonly kind: string
  /** How often core must repeat the oldest claim that waits, in milliseconds. Below the grant lease's length. */
  readonly beatMs: number
  /** The most steps core puts into one call, so that no call occupies the datastore for long. From 1 on. */
  readonly mostSteps: number
  /**
   * How many calls of steps core has under way at once, from 1 on. One that had no answer for a second does not count any
   * more, so that leases can be renewed while a call hangs.
   */
  readonly callsAtOnce: number
  /** Absent where nothing is kept for jobs. */
  readonly results?: ResultStore | undefined
  /** Absent where the application's writes cannot be bound to a lock: see {@link GuardingBackend}. */
  guard?(claim: ClaimId, fence: number, tx: never): Promise<boolean>

  /**
   * Name the one client this backend works for, and hear of what is told to it. Called once, before anything else.
   *
   * @param client unique among all clients of the datastore; never contains a space
   */
  open(client: string, listener: (event: StoreEvent) => void): void

  /**
   * Do these steps in their order, at most {@link Backend.mostSteps}. Each is atomic by itself, is answered by itself and
   * fails by itself; the list as a whole promises nothing, and other clients' steps may come in between. Steps of one lock
   * take effect in their order. The call rejects only when nothing is known of any step.
   *
   * Of one lock core has steps in one call at a time, renewals apart; a step waits for the call before it, for a second at
   * the most. So calls may be carried out in any order.
   */
  run(steps: readonly Step[]): Promise<Answers>

  /** The lock's state, or `null` when nobody holds it or waits for it. */
  inspect(name: string): Promise<LockState | null>

  /**
   * Every lock whose name starts with `prefix` (taken literally) and that is held or waited for, each once, in no
   * promised order. A lock that comes or goes meanwhile may or may not be listed.
   */
  list(prefix: string): AsyncIterable<LockState>

  /** Let go of connections, timers and listeners this backend made itself. What is held stays held. Calls after it reject. Safe to repeat. */
  close(): Promise<void>
}
