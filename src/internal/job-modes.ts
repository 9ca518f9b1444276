import { invalidArgument } from '../errors.js'
import { checkMs } from './check.js'

const MODES = ['untilExecuted', 'untilExecuting', 'whileExecuting', 'untilAndWhileExecuting', 'untilExpired'] as const
const STRATEGIES = ['join', 'reject', 'skip', 'replace', 'rerun', 'delay'] as const

/** The `meta` of a lock that is kept for a period and not for a run. It is no JSON, as the arguments of others are. */
export const PERIOD_META = 'period'

/** From when to when a job's name and arguments are taken. */
export type JobMode = (typeof MODES)[number]

/** What becomes of a trigger while the same job is live. */
export type JobStrategy = (typeof STRATEGIES)[number]

/** The options that say when a job is unique and what becomes of its duplicates, as users give them. */
export interface ModeOptions<Decide, Merge> {
  readonly mode?: JobMode | undefined
  readonly onDuplicate?: JobStrategy | Decide | undefined
  readonly expiryMs?: number | undefined
  readonly merge?: Merge | undefined
  readonly onRunning?: 'stop' | 'follow' | undefined
}

/** The same with their defaults. */
export interface CheckedModes<Decide, Merge> {
  readonly mode: JobMode
  readonly onDuplicate: JobStrategy | Decide
  /** `null` without `untilExpired`. */
  readonly expiryMs: number | null
  readonly merge: Merge | null
  readonly stops: boolean
}

/**
 * Checks each of these options and whether they contradict each other.
 *
 * @param of what messages begin with
 * @throws SoloistError `INVALID_ARGUMENT`
 */
export function checkModes<Decide, Merge>(
  options: ModeOptions<Decide, Merge>,
  of: string = '',
): CheckedModes<Decide, Merge> {
  const { mode = 'untilExecuted', onDuplicate = 'join', expiryMs, merge, onRunning } = options
  const refuse = (why: string) => invalidArgument(of + why)
  // A function may decide for any strategy, so it goes with every option.
  const decides = typeof onDuplicate === 'function'
  if (!MODES.includes(mode)) throw refuse(`mode must be one of ${MODES.join(', ')}`)
  if (!decides) checkStrategy(`${of}onDuplicate`, onDuplicate, ', or a function')
  if (mode === 'untilExpired' && expiryMs === undefined) throw refuse('untilExpired needs expiryMs')
  if (mode !== 'untilExpired' && expiryMs !== undefined) throw refuse('expiryMs needs the mode untilExpired')
  if (merge !== undefined) {
    if (typeof merge !== 'function') throw refuse('merge must be a function')
    if (!decides && onDuplicate !== 'rerun') throw refuse('merge needs the strategy rerun')
  }
  if (onRunning !== undefined) {
    if (onRunning !== 'stop' && onRunning !== 'follow') throw refuse('onRunning must be stop or follow')
    if (!decides && onDuplicate !== 'replace') throw refuse('onRunning needs the strategy replace')
    if (mode === 'untilExecuting' || mode === 'untilAndWhileExecuting') {
      throw refuse(`onRunning contradicts ${mode}: there a run that executes is no duplicate`)
    }
  }
  return {
    mode,
    onDuplicate,
    expiryMs: expiryMs === undefined ? null : checkMs(`${of}expiryMs`, expiryMs, 1),
    merge: merge ?? null,
    stops: onRunning === 'stop',
  }
}

/** @throws SoloistError `INVALID_ARGUMENT` for what is no strategy */
export function checkStrategy(what: string, strategy: unknown, orElse = ''): JobStrategy {
  if (!STRATEGIES.includes(strategy as JobStrategy)) {
    throw invalidArgument(`${what} must be one of ${STRATEGIES.join(', ')}${orElse}`)
  }
  return strategy as JobStrategy
}

/** Checks the options that a job's key is made by. @param of what messages begin with */
export function checkKeyOptions(
  { uniqueOn, serialize }: { readonly uniqueOn?: unknown; readonly serialize?: unknown },
  of: string = '',
): void {
  const fields = Array.isArray(uniqueOn) && uniqueOn.every(field => typeof field === 'string')
  if (uniqueOn !== undefined && typeof uniqueOn !== 'function' && !fields) {
    throw invalidArgument(`${of}uniqueOn must be a list of field names or a function`)
  }
  if (serialize !== undefined && typeof serialize !== 'function') {
    throw invalidArgument(`${of}serialize must be a function`)
  }
}
