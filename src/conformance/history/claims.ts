import { Clocks } from './clocks.js'
import { isJobRecord, type JobRecord } from './job-records.js'
import { type JobHistory, JobReader } from './jobs.js'
import {
  type ClockRecord,
  type FaultRecord,
  type GrantedRecord,
  type HistoryRecord,
  type InvokeRecord,
  isRecord,
} from './records.js'
import type { Report } from './report.js'

/** One claim, from its invocation on. All times are on the shared scale. */
export interface Claimed {
  readonly name: string
  readonly owner: string
  readonly mode: 'exclusive' | 'shared'
  readonly limit: number | null
  readonly process: string | null
  readonly ttlMs: number | null
  readonly invokedMs: number
  /** When the answer came that it waits. */
  queuedMs: number | null
  /** When it ended without a grant, and how; `null`: it did not. */
  refused: { readonly atMs: number; readonly busy: boolean } | null
  grant: Grant | null
}

/** What a claim was granted. */
export interface Grant {
  readonly claim: Claimed
  readonly fence: number
  /** When the answer came. */
  readonly fromMs: number
  /** Until when it was proven at most; `Infinity`: it does not run out. */
  provenMs: number
  /** Until when it was valid: the end of what was proven, or its own end before that. */
  toMs: number
  /** When its release was about to be sent. */
  releasedMs: number | null
  /** What the release was answered. */
  returned: { readonly atMs: number; readonly held: boolean | null } | null
  lost: boolean
}

/** Everything a history tells, by lock. */
export interface Told {
  readonly claims: ReadonlyMap<string, readonly Claimed[]>
  /** What became of each job's triggers. */
  readonly jobs: ReadonlyMap<string, JobHistory>
  readonly faults: readonly FaultRecord[]
  /** When each process ended that did. */
  readonly ended: ReadonlyMap<string, number>
  /** The last moment of the history. */
  readonly lastMs: number
  readonly events: Readonly<Record<string, number>>
}

/** Records, their JSON by lines, or what reads the records anew each time it is called. */
export type History = string | Iterable<HistoryRecord> | (() => Iterable<HistoryRecord>)

/** Turns a history into claims and runs. */
export function read(history: History, report: Report): Told {
  const records = typeof history === 'function' ? history : readOnce(history, report)
  const reader = new Reader(new Clocks(records()), report)
  for (const record of records()) {
    if (isRecord(record)) reader.read(record)
    else malformed(record, report)
  }
  reader.end()
  return reader
}

function readOnce(history: string | Iterable<HistoryRecord>, report: Report): () => readonly HistoryRecord[] {
  const records: HistoryRecord[] = []
  const add = (value: unknown) => {
    if (isRecord(value)) records.push(value)
    else malformed(value, report)
  }
  if (typeof history !== 'string') for (const record of history) add(record)
  else {
    for (const [i, line] of history.split('\n').entries()) {
      if (line.trim() === '') continue
      const value = parsed(line)
      if (value === undefined) report('malformed', '', `line ${i + 1} is not JSON`)
      else add(value)
    }
  }
  return () => records
}

function malformed(value: unknown, report: Report): void {
  report('malformed', '', `this is no record: ${JSON.stringify(value)}`)
}

class Reader implements Told {
  readonly claims = new Map<string, Claimed[]>()
  readonly faults: FaultRecord[] = []
  readonly ended = new Map<string, number>()
  readonly events: Record<string, number> = {}
  lastMs = -Infinity
  readonly #clocks: Clocks
  readonly #report: Report
  readonly #jobs: JobReader
  /** When each grant was told, on the clock of its process. */
  readonly #own = new WeakMap<Grant, number>()
  /** What is under way, by name and owner: an unanswered claim, or a grant without an end. */
  readonly #open = new Map<string, Claimed>()
  /** Grants that were released and whose release was not answered yet. */
  readonly #releasing = new Map<string, Grant>()

  constructor(clocks: Clocks, report: Report) {
    this.#clocks = clocks
    this.#report = report
    this.#jobs = new JobReader(clocks, report)
  }

  get jobs(): ReadonlyMap<string, JobHistory> {
    return this.#jobs.jobs
  }

  read(record: HistoryRecord): void {
    this.events[record.event] = (this.events[record.event] ?? 0) + 1
    switch (record.event) {
      case 'clock':
        return
      case 'fault':
        this.faults.push(record)
        return this.#saw(record.untilMs)
      case 'ended':
        this.ended.set(record.process, record.atMs)
        return this.#saw(record.atMs)
      case 'invoke':
        return this.#invoke(record)
      default:
        if (!isJobRecord(record)) return this.#about(record)
        return this.#saw(this.#jobs.read(record))
    }
  }

  /** What a process held that ended is over with it. */
  end(): void {
    for (const claims of this.claims.values()) {
      for (const { grant, process } of claims) {
        const endedMs = process === null ? undefined : this.ended.get(process)
        if (grant !== null && endedMs !== undefined) grant.toMs = Math.max(Math.min(grant.toMs, endedMs), grant.fromMs)
      }
    }
  }

  #invoke(record: InvokeRecord): void {
    const { name, owner, mode, limit, process = null, ttlMs = null } = record
    const key = JSON.stringify([name, owner])
    const open = this.#open.get(key)
    // A claim that is sent once more keeps the time of its first sending.
    if (open?.grant === null) return
    if (open !== undefined) return this.#malformed(name, `${owner} asks although it has the lock`)
    const invokedMs = this.#clocks.earliest(process, record.atMs)
    this.#saw(invokedMs)
    const claim = { name, owner, mode, limit, process, ttlMs, invokedMs, queuedMs: null, refused: null, grant: null }
    this.#open.set(key, claim)
    const claims = this.claims.get(name)
    if (claims === undefined) this.claims.set(name, [claim])
    else claims.push(claim)
  }

  #about(
    record: Exclude<HistoryRecord, InvokeRecord | ClockRecord | FaultRecord | JobRecord | { event: 'ended' }>,
  ): void {
    const { name, owner, event } = record
    const key = JSON.stringify([name, owner])
    const claim = this.#open.get(key)
    if (event === 'returned') {
      const grant = this.#releasing.get(key)
      if (grant === undefined) return this.#malformed(name, `${owner} was answered a release that it never sent`)
      const atMs = this.#clocks.latest(grant.claim.process, record.atMs)
      this.#saw(atMs)
      grant.returned = { atMs, held: record.held }
      this.#releasing.delete(key)
      return
    }
    const latest = this.#clocks.latest(claim?.process ?? null, record.atMs)
    const earliest = this.#clocks.earliest(claim?.process ?? null, record.atMs)
    this.#saw(latest)
    const grant = claim?.grant ?? null
    if (event === 'granted') return this.#granted(record, claim, latest)
    if (event === 'queued' || event === 'refused') {
      if (claim === undefined || grant !== null) {
        return this.#malformed(name, `${owner} was told that it is ${event}, of a claim that does not wait`)
      }
      if (event === 'queued') claim.queuedMs ??= latest
      else {
        claim.refused = { atMs: latest, busy: record.busy }
        this.#open.delete(key)
      }
      return
    }
    if (grant === null) return this.#malformed(name, `${owner} ${event} what it did not have`)
    if (record.atMs < (this.#own.get(grant) ?? -Infinity))
      this.#malformed(name, `${owner} ${event} the lock before it had it`)
    if (event === 'renewed') {
      grant.provenMs = Math.max(grant.provenMs, this.#clocks.earliest(claim?.process ?? null, record.untilMs))
      grant.toMs = grant.provenMs
      return
    }
    grant.toMs = earliest
    if (event === 'released') {
      grant.releasedMs = earliest
      this.#releasing.set(key, grant)
    } else grant.lost = true
    this.#open.delete(key)
  }

  #granted(record: GrantedRecord, claim: Claimed | undefined, fromMs: number): void {
    const { name, owner, fence, untilMs } = record
    if (claim === undefined) return this.#malformed(name, `${owner} was granted what it never asked for`)
    if (claim.grant !== null) {
      return this.#malformed(name, `${owner} was granted the lock twice, with no end in between`)
    }
    if (fromMs < claim.invokedMs) this.#malformed(name, `${owner} was granted the lock before it asked`)
    const provenMs = untilMs === null ? Infinity : this.#clocks.earliest(claim.process, untilMs)
    const open = { releasedMs: null, returned: null, lost: false }
    claim.grant = { claim, fence, fromMs, provenMs, toMs: provenMs, ...open }
    this.#own.set(claim.grant, record.atMs)
  }

  #saw(atMs: number): void {
    if (atMs !== Infinity) this.lastMs = Math.max(this.lastMs, atMs)
  }

  #malformed(name: string, message: string): void {
    this.#report('malformed', name, message)
  }
}

/** The value of a JSON text, `undefined` for any other text. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
