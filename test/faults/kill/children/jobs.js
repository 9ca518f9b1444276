// The jobs of the processes that are killed, and of the one that goes on.
/** Long enough that a process which stands still for a moment keeps its run. */
export const TTL_MS = 4_000

/** @typedef {{ readonly items: readonly string[] }} Args Whose arguments these are. */
/** @typedef {{ readonly items: readonly string[], readonly startedMs: number }} Result */

/** @param {Args} pending @param {Args} newest @returns {Args} */
const merge = (pending, newest) => ({ items: [...pending.items, ...newest.items] })

/** @type {Record<string, import('soloist').JobOptions<Args>>} */
const kinds = {
  join: {},
  rerun: { onDuplicate: 'rerun' },
  merge: { onDuplicate: 'rerun', merge },
  replace: { onDuplicate: 'replace' },
}

/** Milliseconds on a clock that all processes of the machine share. */
export const now = () => Number(process.hrtime.bigint()) / 1e6

/**
 * @param {import('soloist').Soloist} solo
 * @param {string} kind
 * @param {() => unknown} [work] what its handler does
 */
export function jobIn(solo, kind, work = () => {}) {
  return solo.job(kind, { ...kinds[kind], ttlMs: TTL_MS, uniqueOn: [] }, async (/** @type {Args} */ { items }) => {
    const startedMs = now()
    await work()
    return /** @type {Result} */ ({ items, startedMs })
  })
}

/**
 * What a process may be in the middle of when it is killed. It says that it is there and goes on when it is told to; `other` is a
 * client of the same process whose calls have no boundaries.
 *
 * @typedef {{ solo: import('soloist').Soloist, other: import('soloist').Soloist, kind: string, told(): Promise<void> }} Given
 * @type {Record<string, (given: Given) => Promise<void>>}
 */
export const operations = {
  async 'runs it'({ solo, kind, told }) {
    const outcome = await jobIn(solo, kind, told).trigger({ items: ['child'] })
    await outcome.result()
  },

  async 'waits for the turn of its run'({ solo, other, kind, told }) {
    /** @type {() => void} */
    let end = () => {}
    const live = new Promise(resolve => {
      end = () => resolve(undefined)
    })
    await jobIn(other, kind, () => live).trigger({ items: ['other'] })
    const outcome = await jobIn(solo, kind).trigger({ items: ['child'] })
    await told()
    end()
    await outcome.result()
  },
}
