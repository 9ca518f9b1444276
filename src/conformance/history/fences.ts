import type { Grant } from './claims.js'
import { sortedBy } from './intervals.js'
import type { Report } from './report.js'

/** Whether every grant's fence is above those of all grants of its lock that certainly came before it. */
export function checkFences(name: string, grants: readonly Grant[], report: Report): void {
  const byFence = new Map<number, Grant>()
  for (const grant of grants) {
    const twin = byFence.get(grant.fence)
    if (twin !== undefined) {
      report('fence', name, `${twin.claim.owner} and ${grant.claim.owner} were granted with one fence, ${grant.fence}`)
    }
    byFence.set(grant.fence, grant)
  }
  const compare = (earlier: Grant | null, { claim, fence }: Grant) => {
    if (earlier === null || earlier.claim === claim || earlier.fence < fence) return
    report('fence', name, `${claim.owner} got fence ${fence} after ${earlier.claim.owner} had got ${earlier.fence}`)
  }
  const exclusive = grants.filter(({ claim }) => claim.mode === 'exclusive')
  const answered = new Earlier(grants, ({ fromMs }) => fromMs)
  for (const grant of sortedBy(grants, ({ claim }) => claim.invokedMs)) {
    // Strictly before: at one and the same reading of the clock the order is not known.
    compare(answered.before(grant.claim.invokedMs), grant)
  }
  const ended = new Earlier(grants, ({ toMs }) => toMs)
  const endedExclusive = new Earlier(exclusive, ({ toMs }) => toMs)
  // One that had run out when its answer was read, as after a pause, was granted at some time before.
  const valid = grants.filter(({ fromMs, provenMs }) => provenMs > fromMs)
  for (const grant of sortedBy(valid, ({ fromMs }) => fromMs)) {
    const excluded = grant.claim.mode === 'exclusive' ? ended : endedExclusive
    compare(excluded.before(grant.fromMs), grant)
  }
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

  before(atMs: number): Grant | null {
    for (let grant = this.#grants[this.#next]; grant !== undefined; grant = this.#grants[this.#next]) {
      if (this.#timeOf(grant) >= atMs) break
      if (this.#highest === null || grant.fence > this.#highest.fence) this.#highest = grant
      this.#next += 1
    }
    return this.#highest
  }
}
