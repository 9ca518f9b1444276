import { systemClock, type Timer } from '../../../internal/clock.js'

/** How often the calls under way are looked at, while there are any. */
export const LOOK_MS = 500
/** Nothing was answered for so many looks although something was asked: the connection is not to be trusted. */
const SILENT_LOOKS = 4
/** The same after silences that followed each other: the server may just be slow. */
const MOST_SILENT_LOOKS = 16

/**
 * Tells when a connection is silent. It counts looks and not time, so that a process that was held up does not take its
 * own pause for the server's.
 */
export class Silence {
  #answers = 0
  #answersAtLook = 0
  #looks = 0
  /** How many silences there were since the last good answer. */
  #silences = 0

  answered(): void {
    this.#answers += 1
  }

  /** A good answer: the next silence is the first again. */
  broken(): void {
    this.#silences = 0
  }

  /** Nothing is awaited, or another connection is asked. */
  startAgain(): void {
    this.#looks = 0
  }

  /**
   * To be called at each look while something is awaited.
   *
   * @param asked whether there is a connection to answer
   * @returns how long nothing was answered, in milliseconds, when that was too long; else `null`
   */
  look(asked: boolean): number | null {
    const silent = asked && this.#answers === this.#answersAtLook
    this.#looks = silent ? this.#looks + 1 : 0
    this.#answersAtLook = this.#answers
    const looks = this.#looks
    if (looks < Math.min(SILENT_LOOKS * 2 ** this.#silences, MOST_SILENT_LOOKS)) return null
    this.#looks = 0
    this.#silences += 1
    return looks * LOOK_MS
  }
}

/**
 * Runs something after so many milliseconds, which are counted in looks: so a process that was held up takes one look more,
 * in which what has arrived meanwhile is read.
 */
export function afterLooks(ms: number, run: () => void): Timer {
  let left = Math.ceil(ms / LOOK_MS)
  const look = (): Timer =>
    systemClock.setTimer(LOOK_MS, () => {
      left -= 1
      if (left === 0) run()
      else timer = look()
    })
  let timer = look()
  return { cancel: () => timer.cancel() }
}
