import process from 'node:process'
import * as timers from 'node:timers'
import { invalidArgument } from '../errors.js'

// Time as Node itself has it. Test runners put fake timers in the place of the globals, and jsdom a `setTimeout` that
// answers a number: a lease that goes by those is never renewed, and a call that does never settles. So all that keeps a
// promise takes its time from here, and what it takes was there before any test began.
// docs/decisions/real-time.md says why; Biome keeps the globals out of the rest of src.

/** Fake timers (of sinon, so of Vitest and Jest) note their clock on each function that stands in for another. */
function isFake(stand: unknown): boolean {
  return Object.hasOwn(stand as object, 'clock')
}

export const setTimeout: typeof timers.setTimeout = timers.setTimeout
export const clearTimeout: typeof timers.clearTimeout = timers.clearTimeout
export const setInterval: typeof timers.setInterval = timers.setInterval
export const clearInterval: typeof timers.clearInterval = timers.clearInterval

const timersAreFake = isFake(setTimeout)

/** @throws SoloistError `INVALID_ARGUMENT` when fake timers were there first, so that no real ones can be had */
export function checkTimers(): void {
  if (timersAreFake) {
    throw invalidArgument('soloist was loaded after useFakeTimers(), and has no real timers: load it before')
  }
}

/** Milliseconds on a clock that never steps; its zero means nothing. Of all such clocks this one is nowhere faked. */
export function monotonicMs(): number {
  return process.uptime() * 1_000
}

/** Epoch milliseconds. Where a fake `Date` was there first: from the start of the process on, which knows of no steps. */
export const wallMs: () => number = isFake(Date) ? sinceStart() : Date.now

function sinceStart(): () => number {
  // Loaded here, since hardly anybody needs it.
  const { performance } = process.getBuiltinModule('node:perf_hooks')
  return () => Math.floor(performance.timeOrigin + monotonicMs())
}

/** Runs `run` as soon as what runs now is done. */
export const soon: (run: () => void) => void = isFake(queueMicrotask) ? afterPromise : queueMicrotask

/** Runs `run` when all is done that can be done without waiting for anything outside. */
export const atEndOfTurn: (run: () => void) => void = isFake(process.nextTick) ? afterPromise : process.nextTick

/** Runs `run` when other events had their turn. */
export const afterEvents: (run: () => void) => void = timers.setImmediate

function afterPromise(run: () => void): void {
  void Promise.resolve().then(run)
}

export function sleep(ms: number): Promise<void> {
  return new Promise(resolve => void setTimeout(resolve, ms))
}
