import type { JobsOptions } from 'bullmq'
import { type JobMode, type JobStrategy, parseJobLock } from '../../../index.js'

/**
 * What a job takes along in its `opts.singleton`, written once when it is triggered: a text that the scripts of `fused/` read,
 * so that any worker can tell by the job alone what to do with it.
 *
 * `!<mode><strategy><flags>,<limit>,<expiryMs>,<maxRunMs>,<start> <key>`
 *
 * Mode and strategy are letters, see below. `limit`: how many may run at once, `0` for one alone. `key`: of the lock, whose name
 * begins at `start`.
 */
export interface Terms {
  readonly mode: JobMode
  readonly strategy: JobStrategy
  readonly flags: TermFlags
  readonly limit: number | null
  readonly expiryMs: number | null
  readonly maxRunMs: number | null
  /** The name of the lock. */
  readonly lock: string
  /** What the keys of locks start with. */
  readonly prefix: string
}

/** What is either so or not, each by its letter. */
export interface TermFlags {
  /** `t`: a scheduler made it; its strategy is applied when a worker takes it up. */
  readonly tick?: boolean
  /** `o`: a newer one may ask it to stop. */
  readonly stops?: boolean
  /** `f`: its period ends when it fails. */
  readonly freesOnFailure?: boolean
  /** `l`: it waited for its lock when it was added, and the steps of that are calls of their own. */
  readonly inLine?: boolean
  /** `k`: it waits in line behind a run that is to stop for it. */
  readonly asks?: boolean
  /** `u`: the steps of its lock are calls of their own. */
  readonly apart?: boolean
}

const MODES: { readonly [mode in JobMode]: string } = {
  untilExecuted: 'e',
  untilExecuting: 'q',
  whileExecuting: 'w',
  untilAndWhileExecuting: 'b',
  untilExpired: 'x',
}
const STRATEGIES: { readonly [strategy in JobStrategy]: string } = {
  join: 'j',
  skip: 's',
  reject: 'r',
  replace: 'p',
  rerun: 'a',
  delay: 'd',
}
const FLAGS: { readonly [flag in keyof Required<TermFlags>]: string } = {
  tick: 't',
  stops: 'o',
  freesOnFailure: 'f',
  inLine: 'l',
  asks: 'k',
  apart: 'u',
}
const FORM = /^!([eqwbx])([jsrpad])([a-z]*),(\d+),(\d+),(\d+),(\d+) (.+)$/s

/** All of the text but the lock's name, which comes behind it. */
export function termsText(terms: Omit<Terms, 'lock'>): string {
  const { mode, strategy, flags, limit, expiryMs, maxRunMs, prefix } = terms
  const letters = (Object.keys(FLAGS) as (keyof TermFlags)[]).map(flag => (flags[flag] === true ? FLAGS[flag] : ''))
  const numbers = [limit ?? 0, expiryMs ?? 0, maxRunMs ?? 0, Buffer.byteLength(prefix)].join(',')
  return `!${MODES[mode]}${STRATEGIES[strategy]}${letters.join('')},${numbers} ${prefix}`
}

/**
 * The terms of a job that waits for its lock when it is added, and whose steps are calls of their own.
 *
 * @param asks whether the run that it waits for is to stop
 */
export function waitingInLine(terms: string, asks: boolean): string {
  return terms.replace(/^!../, asks ? '$&lk' : '$&l')
}

/** What such a text says, or `null`. */
export function parseTerms(text: unknown): Terms | null {
  const [, mode, strategy, flags = '', limit, expiryMs, maxRunMs, start, key] =
    typeof text === 'string' ? (FORM.exec(text) ?? []) : []
  if (key === undefined) return null
  const [prefix, lock] = cut(key, Number(start))
  if (!lock.startsWith('job:')) return null
  return {
    mode: nameOf(MODES, mode),
    strategy: nameOf(STRATEGIES, strategy),
    flags: flags === '' ? NO_FLAGS : flagsIn(flags),
    limit: Number(limit) || null,
    expiryMs: Number(expiryMs) || null,
    maxRunMs: Number(maxRunMs) || null,
    lock,
    prefix,
  }
}

const known = new WeakMap<object, Terms>()

/** The terms of a job, or `null` when it is no singleton job. */
export function termsOf(job: { readonly opts?: JobsOptions | undefined }): Terms | null {
  const { singleton } = (job.opts ?? {}) as { singleton?: unknown }
  if (singleton === undefined) return null
  let terms: Terms | null = known.get(job) ?? null
  if (terms !== null) return terms
  const text =
    typeof singleton === 'object' && singleton !== null ? (singleton as { terms?: unknown }).terms : singleton
  terms = parseTerms(text)
  if (terms !== null) known.set(job, terms)
  return terms
}

/** The job's name as its lock knows it. */
export function jobNameOf({ lock }: Pick<Terms, 'lock'>): string {
  return parseJobLock(lock)?.job ?? lock
}

/** Whether a name can stand in such a text, and in a key, as it is. */
export function isPlain(name: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are written otherwise in JSON
  return !/["\\{}\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(name)
}

const NO_FLAGS: TermFlags = {}

function flagsIn(letters: string): TermFlags {
  return Object.fromEntries(Object.entries(FLAGS).map(([flag, letter]) => [flag, letters.includes(letter)]))
}

/** Cuts a text after so many bytes. */
function cut(text: string, bytes: number): readonly [string, string] {
  const start = text.slice(0, bytes)
  if (Buffer.byteLength(start) === bytes) return [start, text.slice(bytes)]
  const all = Buffer.from(text)
  return [all.subarray(0, bytes).toString(), all.subarray(bytes).toString()]
}

function nameOf<N extends string>(letters: { readonly [name in N]: string }, letter: string | undefined): N {
  return (Object.keys(letters) as N[]).find(name => letters[name] === letter) as N
}
