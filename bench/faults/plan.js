// Everything about a run that chance decides, written down before the run: the same for every library.

/**
 * @typedef {object} Fault
 * @property {number} atMs
 * @property {'kill' | 'stop' | 'cut' | 'delay' | 'blackhole' | 'no-replies' | 'readonly' | 'restart'} kind
 * @property {number} process which of the processes, where it concerns one
 * @property {number} forMs how long it lasts, where it does
 */

const EVERY_MS = 1_000
/** @type {readonly Fault['kind'][]} */
const KINDS = ['kill', 'stop', 'stop', 'cut', 'delay', 'blackhole', 'no-replies', 'readonly', 'restart']

/** @param {number} seed @param {number} forMs @param {number} processes @returns {readonly Fault[]} */
export function makePlan(seed, forMs, processes) {
  const random = randomOf(seed)
  /** @type {Fault[]} */
  const faults = []
  /** @type {Fault['kind'][]} */
  let kinds = []
  for (let atMs = EVERY_MS; atMs < forMs - EVERY_MS; atMs += EVERY_MS) {
    // All kinds come before any comes again.
    if (kinds.length === 0) kinds = [...KINDS]
    const [kind = 'cut'] = kinds.splice(Math.floor(random() * kinds.length), 1)
    const process = faults.length % processes
    faults.push({ atMs, kind, process, forMs: Math.round(600 + 1_400 * random()) })
  }
  return faults
}

/** Numbers from 0 to below 1, the same for the same seed (mulberry32). @param {number} seed @returns {() => number} */
export function randomOf(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
