import type { SoloistError } from '../errors.js'

/** How a run ended, as others are told. `interrupted`: its client was closed meanwhile; `done`: how is not known. */
export type TickResult = 'ok' | 'failed' | 'skipped' | 'interrupted' | 'done'

/** What becomes of a tick at this instance. Contention and a failed run are outcomes, not errors. */
export type TickOutcome<T> =
  /** It ran here. */
  | { readonly status: 'ran'; readonly value: T; readonly fence: number; readonly tookMs: number }
  /** It ran here, and the work threw. */
  | { readonly status: 'failed'; readonly error: unknown; readonly fence: number; readonly tookMs: number }
  /** It ran here, and the lease was lost before the work ended: another instance may have run it too. */
  | { readonly status: 'lost'; readonly error: SoloistError; readonly fence: number; readonly tookMs: number }
  /** Another instance runs it or has run it. */
  | {
      readonly status: 'elsewhere'
      /** Who holds the tick: an owner, which starts with the `clientId` of its client. */
      readonly by: string
      /** How it ended there; `null`: it still runs, or its process died. */
      readonly result: TickResult | null
    }
  /** It was this instance's to run, but an earlier one still runs; `by` is that one's owner. */
  | { readonly status: 'skipped'; readonly by: string }
  /**
   * By the store's clock the scheduled time is more than `keepForMs` away, so whether the tick was run before or would be
   * run again cannot be told. `offMs` is by how much: positive when it is past.
   */
  | { readonly status: 'refused'; readonly why: 'late' | 'early'; readonly offMs: number }

const RESULTS: readonly string[] = ['ok', 'failed', 'skipped', 'interrupted', 'done'] satisfies TickResult[]
/** What stands between an owner and a result. Owners that clients make never hold it. */
const MARK = '#'

/** The owner that keeps a tick after it ended. */
export function markOwner(owner: string, result: TickResult): string {
  return `${owner}${MARK}${result}`
}

/** Takes an owner of a tick apart. */
export function parseOwner(owner: string): { readonly by: string; readonly result: TickResult | null } {
  const at = owner.lastIndexOf(MARK)
  const result = at < 0 ? '' : owner.slice(at + 1)
  return RESULTS.includes(result)
    ? { by: owner.slice(0, at), result: result as TickResult }
    : { by: owner, result: null }
}
