/** @typedef {import('./journal.js').Event} Event */

/**
 * One worker had one lock. Times are milliseconds since the run began. A killed worker's ends when it was seen dead.
 *
 * @typedef {object} Holding
 * @property {string} package
 * @property {string} worker
 * @property {number} request
 * @property {number} fence
 * @property {number} askedMs
 * @property {number} fromMs when the grant had arrived
 * @property {number} untilMs right before the release was sent
 * @property {'released' | 'killed'} end
 * @property {'measured' | 'unfinished' | 'reused'} use what the lock was held for: a measurement that was kept, one that
 *   was not finished, or none, since the result was there
 */

/**
 * From a request until its grant, with somebody else before it.
 *
 * @typedef {{ package: string, worker: string, request: number, fromMs: number, untilMs: number }} Wait
 */

/**
 * A request that found the result kept and needed no lock.
 *
 * @typedef {{ package: string, worker: string, request: number, atMs: number }} Reuse
 */

/**
 * Reads one worker's journal.
 *
 * @param {readonly Event[]} events of one worker, in their order
 * @param {number} startedAt the `t` that is the run's zero
 * @param {Event | undefined} killed the parent's note of this worker's end, if it was killed
 */
export function workerHistory(events, startedAt, killed) {
  /** @type {Holding[]} */
  const holdings = []
  /** @type {Wait[]} */
  const waits = []
  /** @type {Reuse[]} */
  const reuses = []
  for (const [request, steps] of groupBy(events, event => event.request ?? -1)) {
    /** @param {Event['step']} step */
    const at = step => steps.find(event => event.step === step)
    const { worker, package: path = '', t: askedAt } = /** @type {Event} */ (steps[0])
    const granted = at('granted')
    if (at('waiting') !== undefined) {
      const until = granted ?? killed ?? /** @type {Event} */ (steps.at(-1))
      waits.push({ package: path, worker, request, fromMs: askedAt - startedAt, untilMs: until.t - startedAt })
    }
    if (granted !== undefined) {
      const releasing = at('releasing')
      const until = releasing ?? killed ?? /** @type {Event} */ (steps.at(-1))
      holdings.push({
        package: path,
        worker,
        request,
        fence: granted.fence ?? 0,
        askedMs: askedAt - startedAt,
        fromMs: granted.t - startedAt,
        untilMs: until.t - startedAt,
        end: releasing === undefined ? 'killed' : 'released',
        use: at('reused') ? 'reused' : at('kept') ? 'measured' : 'unfinished',
      })
    }
    const reused = at('reused')
    if (granted === undefined && reused !== undefined)
      reuses.push({ package: path, worker, request, atMs: reused.t - startedAt })
  }
  return { holdings, waits, reuses, served: events.filter(({ step }) => step === 'served').length }
}

/**
 * The holdings as `checkHistory` of `soloist/conformance` reads them.
 *
 * @param {readonly Holding[]} holdings
 */
export function checkable(holdings) {
  return holdings.flatMap(({ package: name, worker, request, fence, askedMs, fromMs, untilMs, end }) => {
    const claim = { name, owner: `worker ${worker}, request ${request}` }
    /** @type {import('soloist/conformance').HistoryRecord[]} */
    const records = [
      { event: 'invoke', ...claim, mode: 'exclusive', limit: null, atMs: askedMs },
      { event: 'granted', ...claim, fence, atMs: fromMs, untilMs },
    ]
    if (end === 'released') records.push({ event: 'released', ...claim, atMs: untilMs })
    return records
  })
}

/**
 * `Map.groupBy`, which Node 20 does not have.
 *
 * @template T, K
 * @param {readonly T[]} items
 * @param {(item: T) => K} keyOf
 */
export function groupBy(items, keyOf) {
  /** @type {Map<K, T[]>} */
  const groups = new Map()
  for (const item of items) {
    const key = keyOf(item)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [item])
    else group.push(item)
  }
  return groups
}
