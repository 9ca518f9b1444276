import type { Grant, Told } from './claims.js'
import type { Report } from './report.js'

/** What comparing the intervals of one lock came to. */
interface Compared {
  readonly most: number
  readonly excused: number
}

/** Whether grants of one lock that are valid together may be. */
export function checkIntervals(name: string, grants: readonly Grant[], { faults }: Told, report: Report): Compared {
  const losses = faults.filter(({ loses }) => loses === true)
  let valid: Grant[] = []
  let most = 0
  let excused = 0
  /** Whether the datastore may have forgotten the earlier grant before it made the later one. */
  const forgot = (before: Grant, after: Grant) =>
    losses.some(loss => loss.atMs <= after.fromMs && loss.untilMs >= before.claim.invokedMs)
  // What was over when it began was never held together with anything.
  const lasting = grants.filter(({ fromMs, toMs }) => toMs > fromMs)
  for (const grant of sortedBy(lasting, ({ fromMs }) => fromMs)) {
    valid = valid.filter(({ toMs }) => toMs > grant.fromMs)
    for (const other of valid) {
      const problem = problemOf(grant, other)
      if (problem === null) continue
      if (forgot(other, grant) || forgot(grant, other)) excused += 1
      else report(problem.kind, name, problem.message)
    }
    valid.push(grant)
    most = Math.max(most, valid.length)
    const { mode, limit } = grant.claim
    const shared = valid.filter(({ claim }) => claim.mode === 'shared')
    if (mode === 'shared' && limit !== null && shared.length > limit) {
      const owners = shared.map(({ claim }) => claim.owner).join(', ')
      if (shared.some(other => other !== grant && forgot(other, grant))) excused += 1
      else report('limit', name, `${shared.length} held it at ${grant.fromMs}, above the limit of ${limit}: ${owners}`)
    }
  }
  return { most, excused }
}

function problemOf(
  grant: Grant,
  other: Grant,
): { readonly kind: 'overlap' | 'limit'; readonly message: string } | null {
  const alone = [grant, other].find(({ claim }) => claim.mode === 'exclusive')
  if (alone !== undefined) {
    const { claim } = alone === grant ? other : grant
    const both = `${alone.claim.owner} (exclusive) and ${claim.owner} (${claim.mode}) both held it at ${grant.fromMs}`
    return { kind: 'overlap', message: both }
  }
  const [now, before] = [grant.claim.limit, other.claim.limit]
  if (now === before) return null
  const message = `${other.claim.owner} held it with limit ${before} when ${grant.claim.owner} got it with ${now}`
  return { kind: 'limit', message }
}

export function sortedBy<T>(values: readonly T[], keyOf: (value: T) => number): readonly T[] {
  return [...values].sort((a, b) => keyOf(a) - keyOf(b))
}
