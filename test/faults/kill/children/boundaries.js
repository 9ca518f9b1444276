// What a process meets before it kills itself. Boundaries are numbered from 1 as they are met. Before it ends, in either way, it
// says which it met.
import { writeSync } from 'node:fs'
import process from 'node:process'
import { setImmediate as turn } from 'node:timers/promises'

/** @param {object} record */
export const say = record => writeSync(1, `${JSON.stringify(record)}\n`)

/** The boundaries of one process. */
export class Boundaries {
  /** Those that were met, in order. @type {string[]} */
  places = []
  #point
  #dies = false

  /** @param {number} point at which of them it dies */
  constructor(point) {
    this.#point = point
  }

  /** @param {string} place @returns {boolean} whether this is where it dies */
  meets(place) {
    if (this.#dies) return false
    this.places.push(place)
    this.#dies = this.places.length === this.#point
    return this.#dies
  }

  die() {
    say({ places: this.places })
    process.kill(process.pid, 'SIGKILL')
  }

  /** @param {string} place */
  async pass(place) {
    if (!this.meets(place)) return
    this.die()
    // Nothing more happens here.
    await new Promise(() => {})
  }

  /**
   * The same backend with boundaries: before a call is sent, when it was sent and has no reply, and when the reply is there and
   * nothing came of it yet.
   *
   * @param {import('soloist').Backend} backend
   */
  around(backend) {
    const run = backend.run.bind(backend)
    backend.run = async steps => {
      const what = steps.map(({ kind }) => kind).join(' ')
      await this.pass(`before ${what}`)
      const answers = run(steps)
      void Promise.allSettled([answers])
      await turn()
      await this.pass(`sent ${what}`)
      await Promise.allSettled([answers])
      await this.pass(`answered ${what}`)
      return await answers
    }
    return backend
  }
}

/**
 * A function that makes clients of a store.
 *
 * @param {string} store
 * @param {string} where
 * @param {string} prefix
 * @returns {Promise<() => import('soloist').Backend>}
 */
export async function opener(store, where, prefix) {
  if (store === 'redis') {
    const { redisBackend } = await import('soloist/redis')
    return () => redisBackend(where, { prefix })
  }
  const { sqliteBackend } = await import('soloist/sqlite')
  return () => sqliteBackend(where, { prefix })
}
