// A worker process of the demo: serves its requests one after the other, and tells its parent every step.
import { join } from 'node:path'
import { connect, SoloistError } from 'soloist'
import { Journal, nowMs } from './journal.js'
import { findKept, keep } from './kept.js'
import { measure } from './measure.js'

/**
 * What the parent sends first. Not given as arguments, since the store's URL may hold a password.
 *
 * @typedef {object} Assignment
 * @property {string} worker its name
 * @property {string} projectFolder
 * @property {string} runFolder where results and journals are kept
 * @property {string} store URL
 * @property {string} locks what the name of every lock of this run starts with
 * @property {number} ttlMs
 * @property {import('./requests.js').Request[]} requests
 */

process.once('message', message => work(/** @type {Assignment} */ (message)))

/** @param {Assignment} assignment */
async function work({ worker, projectFolder, runFolder, store, locks, ttlMs, requests }) {
  const solo = connect(store)
  let stopping = false
  const stop = () => {
    stopping = true
    solo.close().catch(fail)
  }
  const journal = new Journal(runFolder, worker, event => {
    process.send?.(event, undefined, undefined, error => {
      // Nobody is there to tell.
      if (error !== null) stop()
    })
  })
  // Ctrl-C reaches the workers and the parent alike; a parent that is gone stops its workers as well.
  for (const signal of ['SIGINT', 'SIGTERM', 'disconnect']) process.once(signal, stop)
  try {
    for (const request of requests) await serve(request)
  } catch (error) {
    if (!stopping) fail(error)
  }
  await solo.close().catch(fail)
  process.off('disconnect', stop)
  if (process.connected) process.disconnect()

  /** @param {import('./requests.js').Request} request */
  async function serve({ id, package: path, dependent }) {
    const about = { request: id, package: path }
    let served = false
    while (!served) {
      journal.note('asked', about)
      const isKept = findKept(runFolder, path) !== null
      if (isKept) journal.note('reused', about)
      served = isKept || (await serveUnderLock(about, dependent))
    }
    journal.note('served', about)
  }

  /**
   * @param {{ request: number, package: string }} about
   * @param {string} dependent
   * @returns {Promise<boolean>} `false`: the lease was lost, as when the machine sleeps for longer than its ttl
   */
  async function serveUnderLock(about, dependent) {
    const waiting = () => journal.note('waiting', about)
    solo.once('waiting', waiting)
    const options = { ttlMs, meta: `demo worker ${worker}, for ${dependent || 'the project'}` }
    /** @type {import('soloist').Lease | null} */
    let granted = null
    const holding = solo.withLock(`${locks}${about.package}`, options, async lease => {
      granted = lease
      const held = { ...about, fence: lease.fence }
      journal.note('granted', held)
      // Whoever had the lock before may have kept the result while this worker waited.
      if (findKept(runFolder, about.package) !== null) {
        journal.note('reused', held)
      } else {
        const measured = await measure(join(projectFolder, about.package), {
          signal: lease.signal,
          onListed: found => journal.note('measuring', { ...held, ...found }),
        })
        lease.assertValid()
        keep(runFolder, { package: about.package, ...measured, worker, fence: lease.fence })
        journal.note('kept', held)
      }
      journal.note('releasing', held)
      return lease.fence
    })
    try {
      journal.note('released', { ...about, fence: await holding })
      return true
    } catch (error) {
      if (!(error instanceof SoloistError && error.code === 'LEASE_LOST')) throw error
      if (granted !== null) {
        const { fence, expiresAt } = /** @type {import('soloist').Lease} */ (granted)
        const leftMs = Math.min(expiresAt.getTime() - Date.now(), 0)
        journal.note('lost', { ...about, fence, until: nowMs() + leftMs })
      }
      return false
    } finally {
      solo.off('waiting', waiting)
    }
  }

  /** @param {unknown} error */
  function fail(error) {
    console.error(`worker ${worker}:`, error)
    process.exitCode = 1
  }
}
