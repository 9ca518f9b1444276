import { constants } from 'node:os'

/** What the command's own exit codes mean; the numbers are those of sysexits.h and of the shell where they have one. */
export const EXIT = {
  ok: 0,
  /**
   * `get`: nobody holds the lock or waits for it. `leader`: nobody leads. `unlock`, `jobs release`: nothing was removed. `clear`: the answer was
   * no.
   */
  nothing: 1,
  /** An argument that cannot be taken; nothing was done. */
  usage: 2,
  /** The store gave no answer or an error. */
  unavailable: 69,
  /** A fault of the command itself. */
  internal: 70,
  /** The output could not be written. */
  output: 74,
  /** `run`: somebody else holds the lock, and CMD was not started. The default of `--busy-exit-code`. */
  busy: 75,
  /** `run`: the lease was lost before CMD ended. */
  lost: 76,
  /** `run`: CMD is there but cannot be executed. */
  notExecutable: 126,
  /** `run`: CMD was not found. */
  notFound: 127,
} as const

/** How a shell reports a program that a signal has ended. */
export function signalExitCode(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal]
}
