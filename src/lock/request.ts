import type { ClaimMode } from '../backend.js'
import { invalidArgument, SoloistError } from '../errors.js'

/** The longest ttl, wait or hold: 24 days, below what a timer can count. */
export const LONGEST_MS: number = 24 * 24 * 60 * 60 * 1000
/** The lease's length when the caller names none. */
export const DEFAULT_TTL_MS = 30_000
/** The longest name, in bytes of UTF-8. */
export const LONGEST_NAME_BYTES = 1024
/** The longest `meta`, in bytes of UTF-8. */
export const LONGEST_META_BYTES = 1024
/** The largest limit of a semaphore. */
export const LARGEST_LIMIT = 1_000_000

/** How one attempt to take a lock behaves. Every field is optional. */
export interface TryLockOptions {
  /**
   * How long the lease lasts unless it is renewed, in milliseconds; default 30,000, at most 24 days. It is renewed in
   * the background at a third of this, so it bounds how long others wait after this process dies, not how long the
   * work may take.
   */
  readonly ttlMs?: number | undefined
  /**
   * Keep the lock at least this long after it was granted, in milliseconds, even when it is released sooner; default 0.
   * For jobs that every instance starts at the same tick: the quick run of one must not be followed by another's.
   */
  readonly holdForMs?: number | undefined
  /** A short text (up to 1 KiB) shown to operators beside the owner; default none. */
  readonly meta?: string | undefined
  /** Gives up the attempt when it fires; a lease that was granted is not affected by it. */
  readonly signal?: AbortSignal | undefined
}

/** How a call that may wait for a lock behaves. Every field is optional. */
export interface LockOptions extends TryLockOptions {
  /**
   * How long to wait for the lock, in milliseconds, from 0 (only if free now) to 24 days; default `Infinity`. The wait
   * ends after this long whatever the backend does.
   */
  readonly waitMs?: number | undefined
}

/** A lock call after validation. */
export interface LockRequest {
  readonly name: string
  readonly mode: ClaimMode
  readonly limit: number | null
  readonly ttlMs: number
  readonly waitMs: number
  readonly holdForMs: number
  readonly meta: string | null
  readonly signal: AbortSignal | null
}

/** What is asked for, without how: the part of a request that a mutex, a semaphore or a read/write lock fixes. */
export interface Target {
  readonly name: string
  readonly mode: ClaimMode
  readonly limit: number | null
}

/**
 * Checks a call before anything is sent.
 *
 * @throws SoloistError `INVALID_ARGUMENT`, or `ABORTED` when the signal has fired already.
 */
export function lockRequest(target: Target, options: LockOptions = {}): LockRequest {
  if (options === null || typeof options !== 'object') throw invalidArgument('the options must be an object')
  const request: LockRequest = {
    name: checkName(target.name),
    mode: target.mode,
    limit: target.limit === null ? null : checkLimit(target.limit),
    ttlMs: checkMs('ttlMs', options.ttlMs ?? DEFAULT_TTL_MS, 1),
    waitMs: options.waitMs === Infinity ? Infinity : checkMs('waitMs', options.waitMs ?? Infinity, 0, true),
    holdForMs: checkMs('holdForMs', options.holdForMs ?? 0, 0),
    meta: checkMeta(options.meta),
    signal: checkSignal(options.signal),
  }
  throwIfAborted(request.signal)
  return request
}

/** @throws SoloistError `ABORTED` when the signal has fired. */
export function throwIfAborted(signal: AbortSignal | null | undefined): void {
  if (signal?.aborted) throw aborted(signal)
}

export function aborted(signal: AbortSignal): SoloistError {
  return new SoloistError('ABORTED', 'the caller gave up waiting for the lock', { cause: signal.reason })
}

/** A lock name as every backend can store it: a non-empty, well-formed string of at most 1 KiB. */
export function checkName(name: unknown): string {
  if (typeof name !== 'string') throw invalidArgument(`a lock name must be a string, not ${typeName(name)}`)
  if (name === '') throw invalidArgument('a lock name must not be empty')
  return checkText('a lock name', name, LONGEST_NAME_BYTES)
}

/** The start of lock names; may be empty, otherwise as {@link checkName}. */
export function checkPrefix(prefix: unknown): string {
  if (typeof prefix !== 'string') throw invalidArgument(`a prefix must be a string, not ${typeName(prefix)}`)
  return checkText('a prefix', prefix, LONGEST_NAME_BYTES)
}

/** A semaphore's limit: a whole number from 1 to 1,000,000. */
export function checkLimit(limit: unknown): number {
  if (typeof limit !== 'number' || !Number.isSafeInteger(limit) || limit < 1 || limit > LARGEST_LIMIT) {
    throw invalidArgument(`a limit must be a whole number from 1 to ${LARGEST_LIMIT}, not ${shown(limit)}`)
  }
  return limit
}

/** A duration in whole milliseconds, rounded up, from `least` to 24 days. */
export function checkMs(field: string, value: unknown, least: number, orInfinity = false): number {
  if (orInfinity && value === Infinity) return Infinity
  if (typeof value !== 'number' || !(value >= least && value <= LONGEST_MS)) {
    const range = `from ${least} to ${LONGEST_MS} (24 days)${orInfinity ? ', or Infinity' : ''}`
    throw invalidArgument(`${field} must be a number of milliseconds ${range}, not ${shown(value)}`)
  }
  return Math.ceil(value)
}

function checkMeta(meta: unknown): string | null {
  if (meta === undefined || meta === null) return null
  if (typeof meta !== 'string') throw invalidArgument(`meta must be a string, not ${typeName(meta)}`)
  return checkText('meta', meta, LONGEST_META_BYTES)
}

function checkSignal(signal: unknown): AbortSignal | null {
  if (signal === undefined || signal === null) return null
  if (!(signal instanceof AbortSignal)) throw invalidArgument(`signal must be an AbortSignal, not ${typeName(signal)}`)
  return signal
}

function checkText(what: string, text: string, longestBytes: number): string {
  if (!text.isWellFormed()) throw invalidArgument(`${what} must not hold a lone surrogate`)
  const bytes = Buffer.byteLength(text)
  if (bytes > longestBytes)
    throw invalidArgument(`${what} must not be longer than ${longestBytes} bytes; it has ${bytes}`)
  return text
}

function typeName(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value
}

function shown(value: unknown): string {
  return typeof value === 'number' ? String(value) : typeName(value)
}
