/** A claim is about to be sent. */
export interface InvokeRecord {
  readonly event: 'invoke'
  readonly name: string
  /** Who asks: the claim's owner, or any other string that the recorder uses for this claim alone. */
  readonly owner: string
  readonly mode: 'exclusive' | 'shared'
  readonly limit: number | null
  /**
   * When, in milliseconds on a scale shared by everybody who records and that never steps, such as
   * `Number(process.hrtime.bigint()) / 1e6` for the processes of one machine.
   */
  readonly atMs: number
}

/** The answer that it was granted has arrived. */
export interface GrantedRecord {
  readonly event: 'granted'
  readonly name: string
  readonly owner: string
  readonly fence: number
  readonly atMs: number
  /**
   * Until when the lease was proven at that moment; `null`: it does not run out. Ends the interval of a grant without
   * an end of its own, such as one whose process was killed.
   */
  readonly untilMs: number | null
}

/** The grant is over: `released`, written before the release is sent, or `lost`, at the moment validity ended. */
export interface EndRecord {
  readonly event: 'released' | 'lost'
  readonly name: string
  readonly owner: string
  readonly atMs: number
}

export type HistoryRecord = InvokeRecord | GrantedRecord | EndRecord

/** Something in a history that no correct lock can have caused. */
export interface Violation {
  /**
   * - `overlap`: an exclusive grant was valid together with another one
   * - `limit`: more shared grants were valid together than their limit allows, or they had different limits
   * - `fence`: a later grant had no higher fence than an earlier one
   * - `malformed`: the history itself is no sequence of invoke, granted, end per claim
   */
  readonly kind: 'overlap' | 'limit' | 'fence' | 'malformed'
  /** The lock's name; empty for a line that is no record. */
  readonly name: string
  /** What happened, and who did it. */
  readonly message: string
}

/** What a history holds; a check of an empty one shows nothing, so assert these too. */
export interface HistoryCounts {
  readonly locks: number
  readonly invoked: number
  readonly granted: number
  readonly released: number
  readonly lost: number
  /** Grants without an end. */
  readonly unfinished: number
  /** The most grants of one lock that were valid together. */
  readonly mostTogether: number
}

export interface HistoryReport {
  /** Empty: nothing is wrong with the history. */
  readonly violations: readonly Violation[]
  readonly counts: HistoryCounts
}

interface Grant {
  readonly owner: string
  readonly mode: 'exclusive' | 'shared'
  readonly limit: number | null
  readonly fence: number
  readonly invokedMs: number
  readonly fromMs: number
  /** `Infinity`: it does not run out. */
  toMs: number
}

/**
 * Judges what several clients recorded about their locks.
 *
 * A grant is valid from its `granted` record to its end. Both are on the safe side (after the reply, before the
 * release), so that whatever overlaps here was really held together. Per lock: exclusive grants are alone, shared ones
 * stay within their limit, and fences rise strictly wherever the order of two grants is certain: the first was
 * answered before the second was asked for, or they exclude each other.
 *
 * @param history records, or their JSON, one per line. Those of one claim must be in order; claims may be mixed, so the
 *   logs of several processes can just be joined.
 */
export function checkHistory(history: string | Iterable<HistoryRecord>): HistoryReport {
  const reader = new Reader()
  if (typeof history === 'string') reader.readLines(history)
  else for (const record of history) reader.read(record)
  const violations = [...reader.violations]
  let mostTogether = 0
  for (const [name, grants] of reader.grants) {
    const report = (kind: Violation['kind'], message: string) => violations.push({ kind, name, message })
    mostTogether = Math.max(mostTogether, checkIntervals(grants, report))
    checkFences(grants, report)
  }
  return { violations, counts: { ...reader.counts(), mostTogether } }
}

type Report = (kind: Violation['kind'], message: string) => void

/** Turns records into grants, by lock. */
class Reader {
  readonly violations: Violation[] = []
  readonly grants = new Map<string, Grant[]>()
  readonly #counts = { invoke: 0, granted: 0, released: 0, lost: 0 }
  /** What is under way, by name and owner: an unanswered claim or a grant without an end. */
  readonly #open = new Map<string, InvokeRecord | Grant>()

  readLines(lines: string): void {
    for (const [i, line] of lines.split('\n').entries()) {
      if (line.trim() === '') continue
      const record = parsed(line)
      if (record === undefined) this.#malformed('', `line ${i + 1} is not JSON`)
      else this.read(record)
    }
  }

  read(record: unknown): void {
    if (!isRecord(record)) return this.#malformed('', `this is no record: ${JSON.stringify(record)}`)
    const { name, owner } = record
    const key = JSON.stringify([name, owner])
    const open = this.#open.get(key)
    this.#counts[record.event] += 1
    if (record.event === 'invoke') {
      // A claim that is sent once more keeps the time of its first sending.
      if (open === undefined) this.#open.set(key, record)
      else if ('fence' in open) this.#malformed(name, `${owner} asks although it has the lock`)
    } else if (record.event === 'granted') {
      if (open === undefined) return this.#malformed(name, `${owner} was granted what it never asked for`)
      if ('fence' in open) return this.#malformed(name, `${owner} was granted the lock twice, with no end in between`)
      const { fence, atMs, untilMs } = record
      const { mode, limit, atMs: invokedMs } = open
      if (atMs < invokedMs) this.#malformed(name, `${owner} was granted the lock before it asked`)
      const grant = { owner, mode, limit, fence, invokedMs, fromMs: atMs, toMs: untilMs ?? Number.POSITIVE_INFINITY }
      this.#open.set(key, grant)
      const grants = this.grants.get(name)
      if (grants === undefined) this.grants.set(name, [grant])
      else grants.push(grant)
    } else {
      if (open === undefined || !('fence' in open)) {
        return this.#malformed(name, `${owner} ${record.event} what it did not have`)
      }
      if (record.atMs < open.fromMs) this.#malformed(name, `${owner} ${record.event} the lock before it had it`)
      open.toMs = record.atMs
      this.#open.delete(key)
    }
  }

  counts(): Omit<HistoryCounts, 'mostTogether'> {
    const { invoke: invoked, granted, released, lost } = this.#counts
    const unfinished = [...this.#open.values()].filter(open => 'fence' in open).length
    return { locks: this.grants.size, invoked, granted, released, lost, unfinished }
  }

  #malformed(name: string, message: string): void {
    this.violations.push({ kind: 'malformed', name, message })
  }
}

/** Whether grants that are valid together may be. @returns the most that were */
function checkIntervals(grants: readonly Grant[], report: Report): number {
  let valid: Grant[] = []
  let most = 0
  for (const grant of sortedBy(grants, ({ fromMs }) => fromMs)) {
    valid = valid.filter(({ toMs }) => toMs > grant.fromMs)
    for (const other of valid) {
      const alone = [grant, other].find(({ mode }) => mode === 'exclusive')
      if (alone !== undefined) {
        const second = alone === grant ? other : grant
        report(
          'overlap',
          `${alone.owner} (exclusive) and ${second.owner} (${second.mode}) both held it at ${grant.fromMs}`,
        )
      } else if (grant.limit !== other.limit) {
        report(
          'limit',
          `${other.owner} held it with limit ${other.limit} when ${grant.owner} got it with ${grant.limit}`,
        )
      }
    }
    valid.push(grant)
    most = Math.max(most, valid.length)
    const shared = valid.filter(({ mode }) => mode === 'shared')
    if (grant.mode === 'shared' && grant.limit !== null && shared.length > grant.limit) {
      const owners = shared.map(({ owner }) => owner).join(', ')
      report('limit', `${shared.length} held it at ${grant.fromMs}, above the limit of ${grant.limit}: ${owners}`)
    }
  }
  return most
}

/** Whether every grant's fence is above those of all grants that certainly came before it. */
function checkFences(grants: readonly Grant[], report: Report): void {
  const byFence = new Map<number, Grant>()
  for (const grant of grants) {
    const twin = byFence.get(grant.fence)
    if (twin !== undefined)
      report('fence', `${twin.owner} and ${grant.owner} were granted with one fence, ${grant.fence}`)
    byFence.set(grant.fence, grant)
  }
  const exclusive = grants.filter(({ mode }) => mode === 'exclusive')
  const answered = new Earlier(grants, ({ fromMs }) => fromMs)
  for (const grant of sortedBy(grants, ({ invokedMs }) => invokedMs)) {
    // Strictly before: at one and the same reading of the clock the order is not known.
    compare(answered.before(grant.invokedMs), grant, report)
  }
  const ended = new Earlier(grants, ({ toMs }) => toMs)
  const endedExclusive = new Earlier(exclusive, ({ toMs }) => toMs)
  for (const grant of sortedBy(grants, ({ fromMs }) => fromMs)) {
    const excluded = grant.mode === 'exclusive' ? ended : endedExclusive
    compare(excluded.before(grant.fromMs), grant, report)
  }
}

function compare(earlier: Grant | null, grant: Grant, report: Report): void {
  if (earlier === null || earlier === grant || earlier.fence < grant.fence) return
  report('fence', `${grant.owner} got fence ${grant.fence} after ${earlier.owner} had got ${earlier.fence}`)
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

function sortedBy(grants: readonly Grant[], timeOf: (grant: Grant) => number): readonly Grant[] {
  return [...grants].sort((a, b) => timeOf(a) - timeOf(b))
}

/** The value of a JSON text, `undefined` for any other text. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isRecord(value: unknown): value is HistoryRecord {
  if (typeof value !== 'object' || value === null) return false
  const { event, name, owner, atMs, mode, limit, fence, untilMs } = value as Record<string, unknown>
  if (typeof name !== 'string' || typeof owner !== 'string' || !Number.isFinite(atMs)) return false
  switch (event) {
    case 'invoke':
      return mode === 'exclusive' ? limit === null : mode === 'shared' && (limit === null || isCount(limit))
    case 'granted':
      return isCount(fence) && (untilMs === null || Number.isFinite(untilMs))
    case 'released':
    case 'lost':
      return true
    default:
      return false
  }
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) > 0
}
