import type { Claimed, Grant, Told } from './claims.js'
import { sortedBy } from './intervals.js'

/** What the search for an order came to. `at`: the step that no order could explain, of the one that came furthest. */
export type Found =
  | { readonly status: 'found' }
  | { readonly status: 'impossible'; readonly at: string }
  | { readonly status: 'unknown'; readonly states: number }

/** Something that took effect at one moment between being sent and being answered. */
interface Effect {
  readonly sentMs: number
  readonly answeredMs: number
}

interface Granting extends Effect {
  readonly kind: 'grant'
  readonly grant: Grant
  /** Not before this the datastore may have let go of it without being asked; `Infinity`: only its release ends it. */
  readonly goneMs: number
}

/** A release that was answered that its owner held the lock until then. */
interface Releasing extends Effect {
  readonly kind: 'release'
  readonly of: Grant
}

/** An answer that the lock is not free. */
interface Refusing extends Effect {
  readonly kind: 'refuse'
  readonly claim: Claimed
}

type Other = Releasing | Refusing

/** One order of effects, so far. Effects take place as early as they can, so `nowMs` is the least it can be. */
interface State {
  /** How many grants took effect. They do so in the order of their fences. */
  readonly granted: number
  /** Which of the others did, beyond the first `others` of them, which all did. */
  readonly others: number
  readonly beyond: readonly number[]
  readonly nowMs: number
  readonly holders: readonly Granting[]
  readonly wiped: number
}

/**
 * Searches for an order of all effects on one lock that explains every answer: each takes effect between being sent and
 * being answered, a claim is granted only where the grant rule allows it, a release that was told `held` found its owner
 * holding, and who was refused found the lock taken or waited for. Nothing is known of when an unanswered step took
 * effect, so it may have at any later time, or never; and a lease that is not proven any more may be gone, or not.
 *
 * @param budget how many states are looked at without getting further before the answer is "unknown"
 */
export function findOrder(claims: readonly Claimed[], told: Told, budget: number): Found {
  return new Search(claims, told).run(budget)
}

class Search {
  readonly #grants: readonly Granting[]
  /** By when they were answered. */
  readonly #others: readonly Other[]
  /** The first answer among the grants from each on. */
  readonly #firstAnswer: number[] = []
  /** The first that was sent among them. */
  readonly #firstSent: number[] = []
  /** The longest that one of the others was under way. */
  readonly #longestMs: number
  /** When claims were sent that may have waited or held the lock without anybody knowing. */
  readonly #unsureFromMs: number
  /** When the datastore may have lost everything. */
  readonly #wipes: readonly number[]

  constructor(claims: readonly Claimed[], { ended, faults }: Told) {
    const granted = claims.flatMap(({ grant }) => grant ?? [])
    this.#grants = sortedBy(granted, ({ fence }) => fence).map(grant => granting(grant, ended))
    let [answeredMs, sentMs] = [Infinity, Infinity]
    for (let i = this.#grants.length - 1; i >= 0; i--) {
      const grant = this.#grants[i] as Granting
      this.#firstAnswer[i] = answeredMs = Math.min(answeredMs, grant.answeredMs)
      this.#firstSent[i] = sentMs = Math.min(sentMs, grant.sentMs)
    }
    const others = claims.flatMap(claim => [...releasing(claim.grant), ...refusing(claim)])
    this.#others = sortedBy(others, ({ answeredMs }) => answeredMs)
    this.#longestMs = others.reduce((longest, { sentMs, answeredMs }) => Math.max(longest, answeredMs - sentMs), 0)
    const unsure = claims.filter(({ grant, refused }) => grant === null && refused?.busy !== true)
    this.#unsureFromMs = unsure.reduce((first, { invokedMs }) => Math.min(first, invokedMs), Infinity)
    this.#wipes = faults.filter(({ loses }) => loses === true).map(({ atMs }) => atMs)
  }

  run(budget: number): Found {
    const start: State = { granted: 0, others: 0, beyond: [], nowMs: -Infinity, holders: [], wiped: 0 }
    const left = new Left(start, budget)
    let furthest = start
    for (let state = left.pop(); state !== undefined; state = left.pop()) {
      if (this.#isDone(state)) return { status: 'found' }
      if (progressOf(state) > progressOf(furthest)) {
        furthest = state
        left.further()
      } else if (left.spent) return { status: 'unknown', states: budget }
      left.push(this.#next(state))
    }
    return left.complete ? { status: 'impossible', at: this.#stuckAt(furthest) } : { status: 'unknown', states: budget }
  }

  #isDone({ granted, others, beyond }: State): boolean {
    return granted === this.#grants.length && others + beyond.length === this.#others.length
  }

  /** What may take effect next. The most promising comes last. */
  #next(state: State): State[] {
    const { granted, others, beyond, holders, nowMs, wiped } = state
    const soonestMs = Math.min(this.#firstAnswer[granted] ?? Infinity, this.#others[others]?.answeredMs ?? Infinity)
    const next: State[] = []
    const add = (changed: Partial<State> & { readonly nowMs: number }) => {
      if (changed.nowMs <= soonestMs) next.push({ ...state, ...changed })
    }
    const wipeMs = this.#wipes[wiped]
    if (wipeMs !== undefined && holders.length > 0) {
      add({ nowMs: Math.max(nowMs, wipeMs), holders: [], wiped: wiped + 1 })
    }
    const grant = this.#grants[granted]
    if (grant !== undefined) {
      const made = withRoom(holders, grant, Math.max(nowMs, grant.sentMs))
      if (made !== null) add({ granted: granted + 1, nowMs: made.nowMs, holders: [...made.holders, grant] })
    }
    for (let i = others; i < this.#others.length; i++) {
      const other = this.#others[i] as Other
      if (other.answeredMs - this.#longestMs > soonestMs) break
      if (beyond.includes(i)) continue
      const atMs = Math.max(nowMs, other.sentMs)
      const after = this.#after(state, other)
      if (after !== null) add({ ...this.#did(state, i), nowMs: atMs, holders: after })
    }
    return next
  }

  /** Who holds the lock after this took effect; `null`: it cannot have been answered as it was. */
  #after({ holders, granted }: State, other: Other): readonly Granting[] | null {
    if (other.kind === 'release') {
      const left = holders.filter(({ grant }) => grant !== other.of)
      return left.length < holders.length ? left : null
    }
    // Whoever is granted it later may have waited for it already.
    const waited = (this.#firstSent[granted] ?? Infinity) <= other.answeredMs
    const refusable = waited || this.#unsureFromMs <= other.answeredMs || !fits(holders, other.claim)
    return refusable ? holders : null
  }

  /** Of the others, this one took effect too. */
  #did({ others, beyond }: State, i: number): Pick<State, 'others' | 'beyond'> {
    if (i !== others) return { others, beyond: [...beyond, i].sort((a, b) => a - b) }
    let first = others + 1
    let k = 0
    while (beyond[k] === first) {
      first += 1
      k += 1
    }
    return { others: first, beyond: beyond.slice(k) }
  }

  #stuckAt({ granted, others, holders }: State): string {
    const holding = holders.map(({ grant }) => grant.claim.owner).join(', ') || 'nobody'
    const [grant, other] = [this.#grants[granted], this.#others[others]]
    const waits: string[] = []
    if (grant !== undefined) waits.push(`the grant of ${grant.grant.claim.owner}, answered at ${grant.answeredMs}`)
    if (other?.kind === 'release') waits.push(`the release of ${other.of.claim.owner}, answered at ${other.answeredMs}`)
    if (other?.kind === 'refuse') waits.push(`the refusal of ${other.claim.owner}, answered at ${other.answeredMs}`)
    return `${waits.join(' or ')}, with ${holding} holding it`
  }
}

function granting(grant: Grant, ended: ReadonlyMap<string, number>): Granting {
  const { claim, fromMs, provenMs, toMs, releasedMs, returned, lost } = grant
  const endedMs = ended.get(claim.process ?? '') ?? Infinity
  const askedMs = releasedMs === null || returned?.held === true ? Infinity : releasedMs
  // What was answered to have been held until its release did not run out before.
  const goneMs = returned?.held === true ? Infinity : Math.min(provenMs, lost ? toMs : Infinity, askedMs, endedMs)
  return { kind: 'grant', grant, goneMs, sentMs: claim.invokedMs, answeredMs: fromMs }
}

function releasing(grant: Grant | null): Releasing[] {
  if (grant?.returned?.held !== true || grant.releasedMs === null) return []
  return [{ kind: 'release', of: grant, sentMs: grant.releasedMs, answeredMs: grant.returned.atMs }]
}

function refusing(claim: Claimed): Refusing[] {
  const { refused, queuedMs, invokedMs } = claim
  if (refused?.busy !== true) return []
  return [{ kind: 'refuse', claim, sentMs: invokedMs, answeredMs: queuedMs ?? refused.atMs }]
}

function fits(holders: readonly Granting[], { mode, limit }: Claimed): boolean {
  if (holders.length === 0) return true
  if (mode === 'exclusive' || holders.some(({ grant }) => grant.claim.mode === 'exclusive')) return false
  return limit === null || holders.length < limit
}

/** Lets go of as many holders as have to be gone, the first to be gone first. `null`: some of them cannot be. */
function withRoom(
  holders: readonly Granting[],
  { grant, answeredMs }: Granting,
  fromMs: number,
): { readonly holders: readonly Granting[]; readonly nowMs: number } | null {
  let left = holders
  let nowMs = fromMs
  while (!fits(left, grant.claim)) {
    const first = left.reduce((one, other) => (other.goneMs < one.goneMs ? other : one))
    if (first.goneMs > answeredMs) return null
    nowMs = Math.max(nowMs, first.goneMs)
    left = left.filter(holder => holder !== first)
  }
  return { holders: left, nowMs }
}

function progressOf({ granted, others, beyond }: State): number {
  return granted + others + beyond.length
}

function keyOf({ granted, others, beyond, nowMs, holders, wiped }: State): string {
  const fences = holders.map(({ grant }) => grant.fence).sort((a, b) => a - b)
  return `${granted} ${others} ${beyond} ${nowMs} ${fences} ${wiped}`
}

/**
 * The states that are still to be looked at, and which of them were. Of a long history it keeps the last ones, since what comes
 * long before hardly ever turns out to have been another: then it is not complete.
 */
class Left {
  /** Whether nothing was dropped. */
  complete = true
  readonly #budget: number
  #states: State[]
  #seen = new Set<string>()
  #seenBefore = new Set<string>()
  #inVain = 0

  constructor(start: State, budget: number) {
    this.#states = [start]
    this.#budget = budget
  }

  /** The next one that was not looked at. */
  pop(): State | undefined {
    for (let state = this.#states.pop(); state !== undefined; state = this.#states.pop()) {
      const key = keyOf(state)
      if (this.#seen.has(key) || this.#seenBefore.has(key)) continue
      this.#seen.add(key)
      this.#inVain += 1
      return state
    }
    return undefined
  }

  push(states: readonly State[]): void {
    this.#states.push(...states)
    if (this.#states.length > 2 * this.#budget) {
      this.#states = this.#states.slice(-this.#budget)
      this.complete = false
    }
  }

  /** Whether so many were looked at in vain. */
  get spent(): boolean {
    return this.#inVain > this.#budget
  }

  /** One of them came further than all before. */
  further(): void {
    this.#inVain = 0
    if (this.#seen.size <= this.#budget) return
    this.#seenBefore = this.#seen
    this.#seen = new Set()
  }
}
