// Who is put under faults: Soloist, and the peers of bench/peers.
import { connect } from 'soloist'

/**
 * @typedef {object} Holder
 * @property {(lock: string, section: (counts: () => boolean) => Promise<void>) => Promise<unknown>} hold runs the section while it
 *   holds the lock, renewed; `counts` tells whether, as far as the library says, the section may still count on it
 * @property {() => Promise<unknown>} close
 */

/** @typedef {{ ttlMs: number, waitMs: number }} Terms */

export const SOLOIST = 'Soloist'
export const HOLDERS = [
  SOLOIST,
  ...['redlock', '@sesamecare-oss/redlock', 'redis-semaphore', 'redlock-universal', '@verrou/core'],
]

/** @param {string} url @param {Terms} terms @returns {Holder} */
function soloist(url, { ttlMs, waitMs }) {
  const solo = connect(url, { callTimeoutMs: waitMs })
  return {
    hold: (lock, section) =>
      solo.withLock(lock, { ttlMs, waitMs }, lease =>
        section(() => {
          try {
            lease.assertValid()
            return true
          } catch {
            // That is how it says so.
            return false
          }
        }),
      ),
    close: () => solo.close(),
  }
}

/** @param {string} name @param {string} url @param {Terms} terms @returns {Promise<Holder>} */
export async function holder(name, url, terms) {
  if (name === SOLOIST) return soloist(url, terms)
  const { peers } = await import('../peers/holders.js')
  const make = peers[name]
  if (make === undefined) throw new Error(`there is no library ${name}`)
  return make(url, terms)
}
