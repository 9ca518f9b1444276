/** @typedef {import('./journal.js').Event} Event */

/**
 * One worker had one lock. Times are milliseconds since the run began. A killed worker's ends with
 * the signal, or with its last word after that.
 *
 * @typedef {object} Holding
 * @property {string} package
 * @property {string} worker
 * @property {number} request
 * @property {number} fence
 * @property {number} askedMs
 * @property {number} fromMs when the grant had arrived
 * @property {number} untilMs right before the release was sent; where the lease was lost, until when it was valid
 * @property {'released' | 'killed' | 'lost'} end
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
 * @param {Event | undefined} killed the parent's note of this worker's end, if it was killed; its `t` is that of the end
 */
export function workerHistory(events, startedAt, killed) {
  /** @type {Holding[]} */
  const holdings = []
  /** @type {Wait[]} */
  const waits = []
  /** @type {Reuse[]} */
  const reuses = []
  for (const steps of attempts(events)) {
    /** @param {Event['step']} step */
    const at = step => steps.find(event => event.step === step)
    const { worker, request = -1, package: path = '', t: askedAt } = /** @type {Event} */ (steps[0])
    const granted = at('granted')
    if (at('waiting') !== undefined) {
      const until = granted ?? killed ?? /** @type {Event} */ (steps.at(-1))
      waits.push({ package: path, worker, request, fromMs: askedAt - startedAt, untilMs: until.t - startedAt })
    }
    if (granted !== undefined) {
      const releasing = at('releasing')
      const lost = at('lost')
      const until = releasing ?? killed ?? /** @type {Event} */ (steps.at(-1))
      const untilAt = lost === undefined ? until.t : Math.max(Math.min(lost.until ?? lost.t, until.t), granted.t)
      holdings.push({
        package: path,
        worker,
        request,
        fence: granted.fence ?? 0,
        askedMs: askedAt - startedAt,
        fromMs: granted.t - startedAt,
        untilMs: untilAt - startedAt,
        end: lost !== undefined ? 'lost' : releasing === undefined ? 'killed' : 'released',
        use: at('reused') ? 'reused' : at('kept') ? 'measured' : 'unfinished',
      })
    }
    const reused = at('reused')
    if (granted === undefined && reused !== undefined)
      reuses.push({ package: path, worker, request, atMs: reused.t - startedAt })
  }
  return { holdings, waits, reuses, served: events.filter(({ step }) => step === 'served').length }
}

/** The steps of each time a request was asked, since it is asked again when a lease was lost. @param {readonly Event[]} events */
function attempts(events) {
  const asked = groupBy(events, event => event.request ?? -1)
  return [...asked.values()].flatMap(steps => {
    const starts = steps.flatMap(({ step }, index) => (step === 'asked' || index === 0 ? [index] : []))
    return starts.map((start, index) => steps.slice(start, starts[index + 1]))
  })
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
    if (end !== 'killed') records.push({ event: end, ...claim, atMs: untilMs })
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
