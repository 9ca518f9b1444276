import { scripts } from '../../internal/generated/redis.js'
import { KeySpace, prefixOf } from './keys.js'

/** What a script reads its keys or arguments by when it has to know how many there are. */
const COUNTS_THEM = /#\s*(?:KEYS|ARGV)\b|\b(?:KEYS|ARGV)\s*[^[\s]/

/**
 * Claims in the same step as a script of somebody else's that runs on the same server, not a cluster: either the lock is
 * claimed and the script has done its work, or neither.
 */
export class Claiming {
  readonly #keys: KeySpace

  /**
   * @param options as of the backend that has the locks
   * @throws SoloistError `INVALID_ARGUMENT` for a prefix it cannot take
   */
  constructor(options: { readonly prefix?: string | undefined } = {}) {
    this.#keys = new KeySpace(prefixOf(options))
  }

  /**
   * A script that claims a lock and does what `script` does, which answers the id of what it made. It takes the keys of
   * `script` and then {@link Claiming.keyOf} the lock; its arguments and then the owner, whose name ends with a colon and
   * that id. Where the lock is not free its answer is {@link heldBy} somebody, else that of `script`; with any other answer
   * the lock is not claimed.
   *
   * @returns `null` for a script that would take that key and argument for its own
   */
  around(script: string): string | null {
    return COUNTS_THEM.test(script) ? null : scripts.claiming.source.replace(/^-- @body$/m, () => script)
  }

  /** What the script is to be given for the lock. */
  keyOf(lock: string): string {
    return this.#keys.own(lock)
  }
}

/** Who holds the lock, if that is the answer of a script of {@link Claiming}; else `null`. */
export function heldBy(answer: unknown): string | null {
  return Array.isArray(answer) && answer[0] === 'held' ? String(answer[1]) : null
}
