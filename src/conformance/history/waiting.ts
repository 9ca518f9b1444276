import type { Claimed, Grant, Told } from './claims.js'
import { sortedBy } from './intervals.js'
import type { Report } from './report.js'

/** Whether a fault concerned this claim in that time. */
function disturbed({ faults }: Told, { process }: Claimed, fromMs: number, toMs: number): boolean {
  return faults.some(({ processes, atMs, untilMs }) => {
    const concerns = processes === undefined || (process !== null && processes.includes(process))
    return concerns && atMs <= toMs && untilMs >= fromMs
  })
}

/**
 * First come, first served: a claim that was told that it waits is granted before every claim that was sent later. A claim
 * that a fault concerned while it waited may have lost its place.
 */
export function checkOrder(name: string, claims: readonly Claimed[], told: Told, report: Report): void {
  const invoked = sortedBy(
    claims.filter(({ grant }) => grant !== null),
    ({ invokedMs }) => invokedMs,
  )
  /** Of all that were sent then or later, the one that was granted first. */
  const first: Claimed[] = []
  for (let i = invoked.length - 1; i >= 0; i--) {
    const claim = invoked[i] as Claimed
    const later = first[i + 1]
    first[i] = later === undefined || fenceOf(claim) < fenceOf(later) ? claim : later
  }
  for (const claim of invoked) {
    const { queuedMs, grant } = claim
    if (queuedMs === null || grant === null) continue
    const passer = first[firstAfter(invoked, queuedMs)]
    if (passer === undefined || passer === claim || fenceOf(passer) > grant.fence) continue
    if (disturbed(told, claim, queuedMs, grant.fromMs)) continue
    report('order', name, `${passer.owner} was granted it before ${claim.owner}, which waited when it came`)
  }
}

/** The first that was sent after this moment. */
function firstAfter(invoked: readonly Claimed[], atMs: number): number {
  let [low, high] = [0, invoked.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((invoked[middle] as Claimed).invokedMs > atMs) high = middle
    else low = middle + 1
  }
  return low
}

function fenceOf({ grant }: Claimed): number {
  return grant?.fence ?? Infinity
}

/**
 * No lost wake-up: once nobody can hold the lock any more, the claim that waits is granted it within `wakeUpMs`, unless a
 * fault concerned it meanwhile.
 */
export function checkWakeUps(
  name: string,
  claims: readonly Claimed[],
  told: Told,
  wakeUpMs: number,
  report: Report,
): void {
  const granted = claims.flatMap(({ grant }) => grant ?? [])
  /** Of claims that nobody knows of whether they were granted, until when they may have held the lock. */
  const unsure = claims
    .filter(({ grant, refused }) => grant === null && refused?.busy !== true)
    .map(claim => ({ claim, toMs: lastPossible(claim, told) }))
  const possible = new Possible(unsure)
  let heldToMs = -Infinity
  const check = (claim: Claimed, untilMs: number, what: string) => {
    const { queuedMs } = claim
    if (queuedMs === null) return
    const freeMs = Math.max(heldToMs, queuedMs, possible.before(untilMs, claim))
    if (untilMs - freeMs <= wakeUpMs || disturbed(told, claim, freeMs, untilMs)) return
    const waited = `${Math.round(untilMs - freeMs)} ms after it was free`
    report('wakeup', name, `${claim.owner}, which waited since ${Math.round(queuedMs)}, ${what} ${waited}`)
  }
  for (const grant of sortedBy(granted, ({ fence }) => fence)) {
    check(grant.claim, grant.fromMs, 'was granted it')
    heldToMs = Math.max(heldToMs, lastPossible(grant.claim, told))
  }
  for (const claim of claims) {
    const ended = claim.process !== null && told.ended.has(claim.process)
    if (claim.grant === null && claim.refused === null && !ended) check(claim, told.lastMs, 'still waited')
  }
}

/** Until when the claim may have held the lock, whatever became of it. */
function lastPossible({ grant, refused, ttlMs, process }: Claimed, { ended }: Told): number {
  if (grant?.returned) return grant.returned.atMs
  if (grant === null && refused === null && (process === null || !ended.has(process))) return -Infinity
  // A last renewal may have arrived that nobody knows of.
  const lastMs = Math.max(sentUntil(grant), refused?.atMs ?? -Infinity, ended.get(process ?? '') ?? -Infinity)
  return lastMs + (ttlMs ?? Infinity)
}

function sentUntil(grant: Grant | null): number {
  if (grant === null) return -Infinity
  return grant.provenMs === Infinity ? Infinity : Math.max(grant.toMs, grant.releasedMs ?? -Infinity)
}

interface Unsure {
  readonly claim: Claimed
  readonly toMs: number
}

/** Until when any of the claims may have held the lock that were sent before a moment. */
class Possible {
  readonly #sent: readonly Unsure[]
  /** Of all up to each of them, the two that may have held it longest. */
  readonly #longest: (readonly Unsure[])[] = []

  constructor(unsure: readonly Unsure[]) {
    this.#sent = sortedBy(unsure, ({ claim }) => claim.invokedMs)
    let longest: readonly Unsure[] = []
    for (const one of this.#sent) {
      longest = [...longest, one].sort((a, b) => b.toMs - a.toMs).slice(0, 2)
      this.#longest.push(longest)
    }
  }

  /** @param except this one is not meant */
  before(atMs: number, except: Claimed): number {
    let [low, high] = [0, this.#sent.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#sent[middle] as Unsure).claim.invokedMs < atMs) low = middle + 1
      else high = middle
    }
    return this.#longest[low - 1]?.find(({ claim }) => claim !== except)?.toMs ?? -Infinity
  }
}
