import type { TopologyStore } from './topologies.js'

/** Where the locks of a run are. */
export type Store = 'redis' | 'redis-volatile' | 'redis-guarded' | TopologyStore | 'sqlite'

/** One fault, and when it is made. */
export interface PlannedFault {
  readonly atMs: number
  readonly kind:
    | 'kill'
    | 'stop'
    | 'cut'
    | 'cut-pushes'
    | 'delay'
    | 'half-open'
    | 'blackhole'
    | 'restart'
    | 'writer'
    | 'move-slot'
    | 'failover'
  /** Which of the processes, where it concerns one. */
  readonly process: number
  /** How long it lasts, where it does. */
  readonly forMs: number
}

/** Everything about a run that chance decides. It is written down before the run. */
export interface Plan {
  readonly seed: number
  readonly store: Store
  readonly processes: number
  readonly ttlMs: number
  readonly forMs: number
  /** How many callers for locks each process has, which keep them for a moment; `null`: three that keep them for longer. */
  readonly load: number | null
  readonly faults: readonly PlannedFault[]
}

/** After how long the first fault is made, and before the end the last. */
const EDGE_MS = 1_000
/** How long after a fault the next one is made. Under load that is longer, so that something happens in between. */
const EVERY_MS = 1_000
const EVERY_UNDER_LOAD_MS = 4_000
/** A lease is longer than answers take on a machine that is busy: who hears of its grant later has lost its turn. */
const TTL_MS = 800
const TTL_UNDER_LOAD_MS = 2_000
const many = (kind: PlannedFault['kind'], count: number) => Array.from({ length: count }, () => kind)
/** Each of these as often as it stands here. */
const KINDS: Readonly<Record<Store, readonly PlannedFault['kind'][]>> = {
  redis: ['kill', 'kill', 'stop', 'stop', 'cut', 'cut-pushes', 'delay', 'half-open', 'blackhole', 'restart'],
  'redis-volatile': ['kill', 'stop', 'cut', 'delay', 'half-open', 'blackhole', 'restart', 'restart'],
  // Without persistence, and nothing is granted after a restart until nobody counts on a lease of before.
  'redis-guarded': ['kill', 'stop', 'cut', 'delay', 'half-open', 'blackhole', 'restart', 'restart'],
  'redis-cluster': ['kill', 'stop', 'stop', 'move-slot', 'move-slot', 'restart'],
  // A failover takes a while.
  'redis-sentinel': [...many('kill', 5), ...many('stop', 6), 'failover'],
  sqlite: ['kill', 'kill', 'stop', 'stop', 'writer'],
}

export function makePlan(
  store: Store,
  seed: number,
  forMs: number,
  load: number | null = null,
  everyMs: number = load === null ? EVERY_MS : EVERY_UNDER_LOAD_MS,
): Plan {
  const random = randomOf(seed)
  const processes = 8
  const ttlMs = load === null ? TTL_MS : TTL_UNDER_LOAD_MS
  const faults: PlannedFault[] = []
  let kinds: PlannedFault['kind'][] = []
  for (let atMs = EDGE_MS; atMs < forMs - EDGE_MS; atMs += everyMs) {
    // All kinds come before any comes again.
    if (kinds.length === 0) kinds = [...KINDS[store]]
    const [kind] = kinds.splice(Math.floor(random() * kinds.length), 1)
    // One after the other, so that what one process meets with is over before its turn comes again.
    const process = faults.length % processes
    faults.push({ atMs, kind: kind as PlannedFault['kind'], process, forMs: Math.round(ttlMs * (0.5 + 2 * random())) })
  }
  return { seed, store, processes, ttlMs, forMs, load, faults }
}

/** Numbers from 0 to below 1, the same for the same seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
