import { SoloistError } from '../errors.js'
import { onAbort } from '../internal/abort.js'
import { checkMs, checkOptionNames, checkOptions, checkSignal, type OptionNames } from '../internal/check.js'
import type { Timer } from '../internal/clock.js'
import type { Locker } from '../lock/locker.js'

/** How long a caller waits for a result. Every field is optional. */
export interface ResultOptions {
  /** Ends the waiting, with `ABORTED`. The run goes on. */
  readonly signal?: AbortSignal | undefined
  /** Ends the waiting after so long, in milliseconds, with `RESULT_TIMEOUT`. The run goes on. Default: as long as it takes. */
  readonly timeoutMs?: number | undefined
}

const OPTION_NAMES: OptionNames<ResultOptions> = { signal: true, timeoutMs: true }

/** Checks how long a caller waits. @throws SoloistError `INVALID_ARGUMENT`; `ABORTED` when the signal has fired already */
export function checkResultOptions(options: ResultOptions): ResultOptions {
  checkOptions(options)
  checkOptionNames(options, OPTION_NAMES)
  const { signal, timeoutMs } = options
  if (timeoutMs !== undefined) checkMs('timeoutMs', timeoutMs, 1)
  if (signal !== undefined && checkSignal(signal).aborted) throw givenUp(signal)
  return options
}

/** Settles as the work does, unless its caller stops waiting before. */
export function waitFor<T>(locker: Locker, work: Promise<T>, { signal, timeoutMs }: ResultOptions): Promise<T> {
  if (signal === undefined && timeoutMs === undefined) return work
  return new Promise((resolve, reject) => {
    let timer: Timer | null = null
    const stops: (() => void)[] = []
    const end = () => {
      timer?.cancel()
      for (const stop of stops.splice(0)) stop()
    }
    const fail = (error: unknown) => {
      end()
      reject(error)
    }
    if (timeoutMs !== undefined) {
      const late = () =>
        fail(new SoloistError('RESULT_TIMEOUT', `the run did not end within ${timeoutMs} ms (timeoutMs)`))
      timer = locker.clock.setTimer(timeoutMs, late)
    }
    if (signal !== undefined) stops.push(onAbort(signal, () => fail(givenUp(signal))))
    stops.push(locker.atAbort(fail))
    work.then(value => {
      end()
      resolve(value)
    }, fail)
  })
}

/** Settles as the work of somebody's own code does, or with `CLOSED`. */
export function unlessClosed<T>(locker: Locker, work: T | Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = locker.atAbort(reject)
    Promise.resolve(work).then(resolve, reject).finally(stop)
  })
}

function givenUp(signal: AbortSignal): SoloistError {
  return new SoloistError('ABORTED', 'the caller gave up waiting for the run', { cause: signal.reason })
}
