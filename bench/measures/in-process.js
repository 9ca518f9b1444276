// What one process measures of its contender.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'

/** @typedef {import('../contender.js').Contender} Contender */

/** @param {number[]} sorted @param {number} part */
const quantile = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0

let sequence = 0

/**
 * Many callers, each of whom takes and gives back locks that nobody else wants.
 *
 * @param {Contender} contender @param {{ callers: number, ms: number }} options
 */
export async function free(contender, { callers, ms }) {
  /** @type {number[]} */
  const waits = []
  const cpu = process.cpuUsage()
  const startedAt = performance.now()
  const end = startedAt + ms
  const caller = async () => {
    for (let now = performance.now(); now < end; now = performance.now()) {
      sequence += 1
      const held = await contender.take(`free:${process.pid}:${sequence}`)
      waits.push(performance.now() - now)
      await contender.free(held)
    }
  }
  await Promise.all(Array.from({ length: callers }, caller))
  const spentMs = performance.now() - startedAt
  const { user, system } = process.cpuUsage(cpu)
  waits.sort((a, b) => a - b)
  const pairs = waits.length
  return { pairs, ms: spentMs, cpuUs: user + system, p50Ms: quantile(waits, 0.5), p99Ms: quantile(waits, 0.99) }
}

/**
 * Many callers hand one lock around and hold it for no time.
 *
 * @param {Contender} contender @param {{ callers: number, ms: number, lock: string }} options
 */
export async function hot(contender, { callers, ms, lock }) {
  /** @type {number[]} */
  const waits = []
  const turns = Array.from({ length: callers }, () => 0)
  let holders = 0
  let overlaps = 0
  let failures = 0
  const cpu = process.cpuUsage()
  const startedAt = performance.now()
  const end = startedAt + ms
  /** @param {number} own */
  const caller = async own => {
    for (let now = performance.now(); now < end; now = performance.now()) {
      try {
        const held = await contender.take(lock)
        waits.push(performance.now() - now)
        turns[own] = (turns[own] ?? 0) + 1
        if (++holders > 1) overlaps += 1
        holders -= 1
        await contender.free(held)
      } catch {
        // Told in the table: a library that fails under load is still to be compared.
        failures += 1
      }
    }
  }
  await Promise.all(turns.map((_, own) => caller(own)))
  const spentMs = performance.now() - startedAt
  const { user, system } = process.cpuUsage(cpu)
  waits.sort((a, b) => a - b)
  return {
    handOvers: waits.length,
    ms: spentMs,
    cpuUs: user + system,
    p50Ms: quantile(waits, 0.5),
    longestMs: quantile(waits, 1),
    fewestTurns: turns.reduce((least, turn) => Math.min(least, turn), Infinity),
    mostTurns: turns.reduce((most, turn) => Math.max(most, turn), 0),
    overlaps,
    failures,
  }
}

/** Locks that are held from one call of {@link hold} to the next. @type {any[]} */
const kept = []

/**
 * Takes locks until so many are held, then measures what it costs to keep them. The last call, with `count` 0, gives them back.
 *
 * @param {Contender} contender @param {{ count: number, ms: number }} options
 */
export async function hold(contender, { count, ms }) {
  const heapBefore = heapUsed()
  const startedAt = performance.now()
  if (count === 0) {
    const all = kept.length
    for (let i = 0; i < all; i += 1_000) await Promise.all(kept.splice(0, 1_000).map(held => contender.free(held)))
    return { freed: all, freeMs: performance.now() - startedAt }
  }
  while (kept.length < count) {
    const some = Math.min(1_000, count - kept.length)
    const taken = Array.from({ length: some }, (_, i) => contender.take(`held:${process.pid}:${kept.length + i}`))
    kept.push(...(await Promise.all(taken)))
  }
  const takeMs = performance.now() - startedAt
  const heapBytes = (heapUsed() - heapBefore) / count
  await sleep(1_000)
  const delay = monitorEventLoopDelay({ resolution: 5 })
  delay.enable()
  const cpu = process.cpuUsage()
  const since = performance.now()
  await sleep(ms)
  const { user, system } = process.cpuUsage(cpu)
  delay.disable()
  const core = (user + system) / 1_000 / (performance.now() - since)
  return { takeMs, heapBytes, core, longestStallMs: Math.max(0, delay.max / 1e6 - 5) }
}

/** Needs `--expose-gc`, or counts garbage too. */
function heapUsed() {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}

/**
 * Callers wait for a lock that is held all the time.
 *
 * @param {Contender} contender @param {{ callers: number, ms: number }} options
 */
export async function idle(contender, { callers, ms }) {
  const held = await contender.take('idle')
  const waiting = Array.from({ length: callers }, async () => contender.free(await contender.take('idle')))
  // What was to be measured is over then. Where those who wait poll, some do not get their turn in time, and fail.
  const ended = Promise.allSettled(waiting)
  await sleep(ms)
  await contender.free(held)
  await ended
  return {}
}
