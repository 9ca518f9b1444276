import type { ClaimId, WatchReply } from '../../backend.js'
import { SoloistError } from '../../errors.js'
import { onAbort } from '../../internal/abort.js'
import type { Clock, Timer } from '../../internal/clock.js'
import { OUTAGE_MS, RETRY_MS } from './outage.js'
import { aborted } from './patience.js'

/** What became of a watched claim in the end. */
export type Ending = Exclude<WatchReply, { status: 'live' }>

/** A watch that may be left. */
export interface Heard {
  readonly ending: Promise<Ending>
  /** To be called once, at most. */
  leave(): void
}

/** What the watch room needs from the client it belongs to. */
export interface WatchingHost {
  readonly clock: Clock
  /** From 0 to below 1. */
  readonly random: () => number
  readonly beatMs: number
  /** Asks once. */
  watch(claim: ClaimId): Promise<WatchReply>
}

/**
 * The claims of others that this client watches until they end. However many wait for one claim, it is watched once.
 * Endings arrive by push; a claim whose push was lost, or whose owner died, is asked about again at the latest every
 * `beatMs`.
 */
export class WatchRoom {
  readonly #host: WatchingHost
  readonly #watched = new Map<string, Watched>()
  #closed: SoloistError | null = null

  constructor(host: WatchingHost) {
    this.#host = host
  }

  /**
   * Resolves once the claim is over, with what it left.
   *
   * @param everyMs ask at least this often, in milliseconds, where that is more often than the beat
   * @param signal ends this wait; the last to leave ends the watch
   * @throws SoloistError `BACKEND_UNAVAILABLE` after an outage of about 30 seconds; `ABORTED`; `CLOSED`
   */
  until(name: string, owner: string, everyMs: number = Infinity, signal: AbortSignal | null = null): Promise<Ending> {
    const heard = this.hear(name, owner, everyMs)
    return signal === null ? heard.ending : unlessAborted(heard, signal)
  }

  /** As {@link WatchRoom.until}, for one who may stop: after `leave()` its promise need not settle. */
  hear(name: string, owner: string, everyMs: number = Infinity): Heard {
    if (this.#closed !== null) return { ending: Promise.reject(this.#closed), leave: () => {} }
    const key = keyOf({ name, owner })
    let watched = this.#watched.get(key)
    if (watched === undefined) {
      watched = new Watched(this.#host, { name, owner }, () => this.#watched.delete(key))
      this.#watched.set(key, watched)
      watched.ask(everyMs)
    } else if (everyMs < watched.everyMs) watched.ask(everyMs)
    watched.listeners += 1
    return { ending: watched.ending, leave: () => watched.leave() }
  }

  /** Asks once. */
  look(name: string, owner: string): Promise<WatchReply> {
    return this.#host.watch({ name, owner })
  }

  /** The claim's end was pushed. */
  ended(claim: ClaimId): void {
    this.#watched.get(keyOf(claim))?.ask()
  }

  /** Pushes may have been missed. */
  gap(): void {
    for (const watched of this.#watched.values()) watched.ask()
  }

  /** Ends every watch with this reason. */
  close(reason: SoloistError): void {
    this.#closed = reason
    for (const watched of [...this.#watched.values()]) watched.fail(reason)
  }
}

/** One claim that is watched. */
class Watched {
  readonly ending: Promise<Ending>
  /** How many wait for the end. */
  listeners = 0
  /** How often it is asked about, in milliseconds. */
  everyMs: number

  readonly #host: WatchingHost
  readonly #claim: ClaimId
  readonly #onOver: () => void
  #settle!: { resolve(ending: Ending): void; reject(error: unknown): void }
  #over = false
  #asking = false
  #again = false
  #timer: Timer | null = null
  #failingSinceMs: number | null = null

  constructor(host: WatchingHost, claim: ClaimId, onOver: () => void) {
    this.#host = host
    this.#claim = claim
    this.#onOver = onOver
    this.everyMs = host.beatMs
    this.ending = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
  }

  /** Asks now, or once more when a question is under way, and from then on at least every `everyMs`. */
  ask(everyMs: number = Infinity): void {
    this.everyMs = Math.min(this.everyMs, everyMs)
    if (this.#asking) this.#again = true
    else void this.#ask()
  }

  fail(error: unknown): void {
    if (this.#end()) this.#settle.reject(error)
  }

  leave(): void {
    this.listeners -= 1
    if (this.listeners === 0) this.#end()
  }

  async #ask(): Promise<void> {
    const { clock, random } = this.#host
    this.#asking = true
    let delayMs = 0
    do {
      this.#again = false
      const askedAtMs = clock.monotonicMs()
      try {
        const reply = await this.#host.watch(this.#claim)
        this.#failingSinceMs = null
        delayMs = this.everyMs
        if (reply.status !== 'live' && this.#end()) this.#settle.resolve(reply)
      } catch (error) {
        this.#failingSinceMs ??= askedAtMs
        delayMs = Math.min(this.everyMs, RETRY_MS * (0.5 + random() / 2))
        const lasting = clock.monotonicMs() - this.#failingSinceMs >= OUTAGE_MS
        if (lasting || !(error instanceof SoloistError) || error.code !== 'BACKEND_UNAVAILABLE') this.fail(error)
      }
    } while (this.#again && !this.#over)
    this.#asking = false
    if (this.#over) return
    this.#timer?.cancel()
    this.#timer = clock.setTimer(delayMs, () => this.ask())
  }

  /** @returns whether it was not over before */
  #end(): boolean {
    if (this.#over) return false
    this.#over = true
    this.#timer?.cancel()
    this.#onOver()
    return true
  }
}

function unlessAborted(watched: Heard, signal: AbortSignal): Promise<Ending> {
  return new Promise((resolve, reject) => {
    const stop = onAbort(signal, () => {
      reject(aborted(signal))
      watched.leave()
    })
    watched.ending.then(
      ending => {
        stop()
        resolve(ending)
      },
      (error: unknown) => {
        stop()
        reject(error)
      },
    )
  })
}

/** Names and owners may hold anything, so their lengths keep two of them apart. */
function keyOf({ name, owner }: ClaimId): string {
  return `${owner.length} ${owner}${name}`
}
