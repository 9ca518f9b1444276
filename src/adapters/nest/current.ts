import { AsyncLocalStorage } from 'node:async_hooks'
import type { TickRun } from '../../cron/index.js'
import type { JobRun, Lease } from '../../index.js'
import { refused } from './method.js'

/** What the decorated methods around a call run with, each kind the innermost. */
interface Around {
  readonly lease?: Lease
  readonly tick?: TickRun
  readonly job?: JobRun
}

const storage = new AsyncLocalStorage<Around>()

/** Calls a method, with more for the accessors below. */
export function within<T>(more: Around, run: () => T): T {
  return storage.run({ ...storage.getStore(), ...more }, run)
}

/**
 * The lease of the `@Locked` method that runs: its `signal`, its `fence`, `assertValid()`. Also in what it calls.
 *
 * @throws SoloistError `INVALID_ARGUMENT` outside of such a method
 */
export function currentLease(): Lease {
  return given(storage.getStore()?.lease, 'currentLease', '@Locked')
}

/**
 * The tick that the `@OncePerTick` method runs for: `scheduledAt`, `fence`, `signal`. Also in what it calls.
 *
 * @throws SoloistError `INVALID_ARGUMENT` outside of such a method
 */
export function currentTick(): TickRun {
  return given(storage.getStore()?.tick, 'currentTick', '@OncePerTick')
}

/**
 * The run of the `@Singleton` method: its `id`, `signal`, `fence`, `attempt`. Also in what it calls.
 *
 * @throws SoloistError `INVALID_ARGUMENT` outside of such a method
 */
export function currentRun(): JobRun {
  return given(storage.getStore()?.job, 'currentRun', '@Singleton')
}

function given<T>(value: T | undefined, name: string, decorator: string): T {
  if (value === undefined) throw refused(`${name}() is for a method with ${decorator} and what it calls`)
  return value
}
