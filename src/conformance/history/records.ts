import { isJobRecord, isOfJob, type JobRecord } from './job-records.js'

/** What every record about one claim says. */
interface ClaimRecord {
  /** The lock's name. */
  readonly name: string
  /** Who asks: the claim's owner, or any other string that the recorder uses for this claim alone. */
  readonly owner: string
  /**
   * When, in milliseconds on a scale that never steps: one that everybody who records shares, such as
   * `Number(process.hrtime.bigint()) / 1e6` for the processes of one machine, or that of the claim's `process`, which
   * {@link ClockRecord}s map onto the shared one.
   */
  readonly atMs: number
}

/** A claim is about to be sent. */
export interface InvokeRecord extends ClaimRecord {
  readonly event: 'invoke'
  readonly mode: 'exclusive' | 'shared'
  readonly limit: number | null
  /** Which process asks; all records of the claim are on its clock. Absent: the shared clock, and no fault is its own. */
  readonly process?: string | undefined
  /** The lease's length. Absent: the time until which a dead owner may have held the lock is not known. */
  readonly ttlMs?: number | undefined
}

/** The answer that the claim waits in the queue has arrived. */
export interface QueuedRecord extends ClaimRecord {
  readonly event: 'queued'
}

/** The answer that it was granted has arrived. */
export interface GrantedRecord extends ClaimRecord {
  readonly event: 'granted'
  readonly fence: number
  /**
   * Until when the lease was proven at that moment; `null`: it does not run out. Ends the interval of a grant without
   * an end of its own, such as one whose process was killed.
   */
  readonly untilMs: number | null
}

/** The lease was valid at this moment, and is proven until `untilMs` by now. */
export interface RenewedRecord extends ClaimRecord {
  readonly event: 'renewed'
  readonly untilMs: number
}

/** The claim ended without a grant. `busy`: the datastore answered that the lock is not free; else it is unknown what it did. */
export interface RefusedRecord extends ClaimRecord {
  readonly event: 'refused'
  readonly busy: boolean
}

/** The grant is over: `released`, written before the release is sent, or `lost`, at the moment validity ended. */
export interface EndRecord extends ClaimRecord {
  readonly event: 'released' | 'lost'
}

/** A release was answered. `held`: the datastore said that the owner held the lock until then; `null`: it did not say. */
export interface ReturnedRecord extends ClaimRecord {
  readonly event: 'returned'
  readonly held: boolean | null
}

/** At `lineMs` of the shared scale a process read `atMs` from its own clock. Between two of these its speed is even. */
export interface ClockRecord {
  readonly event: 'clock'
  readonly process: string
  readonly atMs: number
  readonly lineMs: number
  /** How far `lineMs` may be off, either way; default 0. What is only valid within that is not counted as valid. */
  readonly errorMs?: number | undefined
}

/** A fault that was made on purpose. */
export interface FaultRecord {
  readonly event: 'fault'
  /** A word for its kind, such as `kill`. */
  readonly kind: string
  /** From when until when it was there, on the shared scale. */
  readonly atMs: number
  readonly untilMs: number
  /** Whom it concerned; absent: everybody. */
  readonly processes?: readonly string[] | undefined
  /** How often it showed that it was there: bytes that were held back, a process that stood still. 0: it did nothing. */
  readonly hits: number
  /** Whether the datastore may have lost its locks by it, as its documentation says. Overlaps by that are excused and counted. */
  readonly loses?: boolean | undefined
}

/** A process ended, not before this moment of the shared scale: what it held is not valid any more. */
export interface ProcessEndRecord {
  readonly event: 'ended'
  readonly process: string
  readonly atMs: number
}

export type HistoryRecord =
  | InvokeRecord
  | QueuedRecord
  | GrantedRecord
  | RenewedRecord
  | RefusedRecord
  | EndRecord
  | ReturnedRecord
  | ClockRecord
  | FaultRecord
  | ProcessEndRecord
  | JobRecord

/** Whether a value, of whatever origin, is a record. */
export function isRecord(value: unknown): value is HistoryRecord {
  if (typeof value !== 'object' || value === null) return false
  const record = value as Record<string, unknown>
  if (!Number.isFinite(record.atMs)) return false
  switch (record.event) {
    case 'clock':
      return typeof record.process === 'string' && Number.isFinite(record.lineMs) && isOptional(record.errorMs)
    case 'fault':
      return isFault(record)
    case 'ended':
      return typeof record.process === 'string'
    default:
      if (isJobRecord(record)) return typeof record.name === 'string' && isOfJob(record)
      return typeof record.name === 'string' && typeof record.owner === 'string' && isOfClaim(record)
  }
}

function isFault({ kind, untilMs, hits, processes }: Record<string, unknown>): boolean {
  const known = processes === undefined || (Array.isArray(processes) && processes.every(one => typeof one === 'string'))
  return typeof kind === 'string' && Number.isFinite(untilMs) && Number.isFinite(hits) && known
}

function isOfClaim({ event, mode, limit, fence, untilMs, ttlMs, process, ...rest }: Record<string, unknown>): boolean {
  switch (event) {
    case 'invoke':
      if (!isOptional(ttlMs) || (process !== undefined && typeof process !== 'string')) return false
      return mode === 'exclusive' ? limit === null : mode === 'shared' && (limit === null || isCount(limit))
    case 'granted':
      return isCount(fence) && (untilMs === null || Number.isFinite(untilMs))
    case 'renewed':
      return Number.isFinite(untilMs)
    case 'refused':
      return typeof rest.busy === 'boolean'
    case 'returned':
      return rest.held === null || typeof rest.held === 'boolean'
    case 'queued':
    case 'released':
    case 'lost':
      return true
    default:
      return false
  }
}

function isOptional(value: unknown): boolean {
  return value === undefined || Number.isFinite(value)
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) > 0
}
