import { causedBy, SoloistError } from '../../errors.js'

/** What goes wrong with one backend, in the form users get. */
export class Failures {
  /** The backend's last failure, until it answers again; else `undefined`. It says more than a time-out can. */
  last: unknown
  readonly #kind: string

  /** @param kind the backend's word for itself */
  constructor(kind: string) {
    this.#kind = kind
  }

  /** The backend failed with this error. What it said in our own terms stays as it is. */
  from(what: string, error: unknown): SoloistError {
    return error instanceof SoloistError ? error : this.unavailable(what, 'failed', error)
  }

  late(what: string, afterMs: number): SoloistError {
    return this.unavailable(what, `gave no answer within ${Math.round(afterMs)} ms (callTimeoutMs)`, this.last)
  }

  unavailable(what: string, how: string, cause?: unknown): SoloistError {
    return new SoloistError('BACKEND_UNAVAILABLE', `the ${this.#kind} backend ${how} (${what})`, causedBy(cause))
  }
}

/** Whether the same call may go better a second time: what the backend refused in our own terms will not. */
export function mayPass(error: unknown): boolean {
  return !(error instanceof SoloistError) || error.code === 'BACKEND_UNAVAILABLE'
}
