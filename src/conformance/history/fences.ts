import type { Grant, Told } from './claims.js'
import { sortedBy } from './intervals.js'
import type { Report } from './report.js'

/**
 * Whether every grant's fence is above those of all grants of its lock that certainly came before it.
 *
 * @returns those that have a lower one and are excused: while the datastore lost grants, as when a replica is promoted and
 *   two servers answer for a moment, one was asked for and the other was made
 */
export function checkFences(
  name: string,
  grants: readonly Grant[],
  { faults }: Told,
  report: Report,
): ReadonlySet<Grant> {
  const excused = new Set<Grant>()
  const losses = faults.filter(({ loses }) => loses === true)
  const beside = (earlier: Grant, grant: Grant) =>
    losses.some(
      ({ atMs, untilMs }) =>
        earlier.fromMs >= atMs && earlier.fromMs <= untilMs && grant.fromMs >= atMs && grant.claim.invokedMs <= untilMs,
    )
  const byFence = new Map<number, Grant>()
  for (const grant of grants) {
    const twin = byFence.get(grant.fence)
    if (twin !== undefined) {
      report('fence', name, `${twin.claim.owner} and ${grant.claim.owner} were granted with one fence, ${grant.fence}`)
    }
    byFence.set(grant.fence, grant)
  }
  const compare = (before: Earlier, atMs: number, grant: Grant) => {
    const { claim, fence } = grant
    const highest = before.highestBefore(atMs)
    if (highest === null || highest.claim === claim || highest.fence < fence) return
    const above = before.allBefore(atMs).filter(earlier => earlier.fence >= fence && earlier.claim !== claim)
    const wrong = above.find(earlier => !beside(earlier, grant))
    if (wrong === undefined) excused.add(grant)
    else report('fence', name, `${claim.owner} got fence ${fence} after ${wrong.claim.owner} had got ${wrong.fence}`)
  }
  const exclusive = grants.filter(({ claim }) => claim.mode === 'exclusive')
  const answered = new Earlier(grants, ({ fromMs }) => fromMs)
  for (const grant of sortedBy(grants, ({ claim }) => claim.invokedMs)) {
    // Strictly before: at one and the same reading of the clock the order is not known.
    compare(answered, grant.claim.invokedMs, grant)
  }
  const ended = new Earlier(grants, ({ toMs }) => toMs)
  const endedExclusive = new Earlier(exclusive, ({ toMs }) => toMs)
  // One that had run out when its answer was read, as after a pause, was granted at some time before.
  const valid = grants.filter(({ fromMs, provenMs }) => provenMs > fromMs)
  for (const grant of sortedBy(valid, ({ fromMs }) => fromMs)) {
    const excluded = grant.claim.mode === 'exclusive' ? ended : endedExclusive
    compare(excluded, grant.fromMs, grant)
  }
  return excused
}

/** The highest fence among grants up to a time that only moves on. */
class Earlier {
  readonly #grants: readonly Grant[]
  readonly #timeOf: (grant: Grant) => number
  #next = 0
  #highest: Grant | null = null

  constructor(grants: readonly Grant[], timeOf: (grant: Grant) => number) {
    this.#grants = sortedBy(grants, timeOf)
    this.#timeOf = timeOf
  }

  highestBefore(atMs: number): Grant | null {
    for (let grant = this.#grants[this.#next]; grant !== undefined; grant = this.#grants[this.#next]) {
      if (this.#timeOf(grant) >= atMs) break
      if (this.#highest === null || grant.fence > this.#highest.fence) this.#highest = grant
      this.#next += 1
    }
    return this.#highest
  }

  allBefore(atMs: number): readonly Grant[] {
    return this.#grants.filter(grant => this.#timeOf(grant) < atMs)
  }
}
