import type { ClaimId } from '../../backend.js'
import type { Clock } from '../../internal/clock.js'

/** A client that was silent for this long is not told of an end any more. */
const ALIVE_MS = 12_000
/** Below this many nobody looks for what was kept long enough. */
const SWEEP_FROM = 1_024

/** What is known of one claim to those who watch it: who they are, or what it left. */
interface Known {
  /** When each watching client last asked. */
  readonly seenAtMs: Map<string, number>
  readonly result: { readonly left: Left; readonly untilMs: number } | null
}

/** What is known of a claim that is over: `unbegun` to who takes a note back alone. */
export type Left =
  | { readonly status: 'result'; readonly text: string }
  | { readonly status: 'displaced'; readonly by: string }
  | { readonly status: 'unbegun' }

/** What claims left with their release, and who watches those that are live. */
export class Results {
  readonly #clock: Clock
  readonly #tell: (client: string, claim: ClaimId) => void
  /** By name and owner. */
  readonly #known = new Map<string, Known>()
  #sweepAt = SWEEP_FROM

  /** @param tell tells a client that a claim it watches is over */
  constructor(clock: Clock, tell: (client: string, claim: ClaimId) => void) {
    this.#clock = clock
    this.#tell = tell
  }

  /** What the claim left, as long as it is kept. */
  kept(claim: ClaimId): Left | null {
    const result = this.#known.get(keyOf(claim))?.result
    return result && result.untilMs > Math.floor(this.#clock.wallMs()) ? result.left : null
  }

  /** A client asked for a claim that is live. */
  watched(claim: ClaimId, client: string): void {
    const seenAtMs = this.#known.get(keyOf(claim))?.seenAtMs ?? new Map<string, number>()
    this.#note(claim, { seenAtMs: seenAtMs.set(client, Math.floor(this.#clock.wallMs())), result: null })
  }

  forget(claim: ClaimId): void {
    this.#known.delete(keyOf(claim))
  }

  /** Keeps that a run ended and never began. Who watches it is told of its end, if at all, as of any other's. */
  keepUnbegun(claim: ClaimId, keepMs: number): void {
    const seenAtMs = this.#known.get(keyOf(claim))?.seenAtMs ?? new Map<string, number>()
    const untilMs = Math.floor(this.#clock.wallMs()) + keepMs
    this.#note(claim, { seenAtMs, result: { left: { status: 'unbegun' }, untilMs } })
  }

  /** The owner triggers another run. */
  forgetUnbegun(claim: ClaimId): void {
    if (this.kept(claim)?.status === 'unbegun') this.forget(claim)
  }

  /** Keeps what a claim left, and tells those who watch it that it is over. */
  end({ name, owner }: ClaimId, left: Left | null, keepMs: number): void {
    const now = Math.floor(this.#clock.wallMs())
    const claim = { name, owner }
    const watchers = this.#known.get(keyOf(claim))?.seenAtMs ?? []
    if (left !== null || this.kept(claim) === null) this.forget(claim)
    if (left !== null) this.#note(claim, { seenAtMs: new Map(), result: { left, untilMs: now + keepMs } })
    for (const [client, seenAtMs] of watchers) if (now - seenAtMs <= ALIVE_MS) this.#tell(client, claim)
  }

  #note(claim: ClaimId, known: Known): void {
    this.#known.set(keyOf(claim), known)
    if (this.#known.size > this.#sweepAt) this.#sweep()
  }

  /** Forgets results that were kept long enough, and watchers of claims that ended unnoticed. */
  #sweep(): void {
    const now = Math.floor(this.#clock.wallMs())
    for (const [key, { seenAtMs, result }] of this.#known) {
      const untilMs = result?.untilMs ?? Math.max(...seenAtMs.values()) + ALIVE_MS
      if (untilMs <= now) this.#known.delete(key)
    }
    this.#sweepAt = Math.max(this.#known.size * 2, SWEEP_FROM)
  }
}

/** Names and owners may hold anything, so their lengths keep two of them apart. */
function keyOf({ name, owner }: ClaimId): string {
  return `${name.length} ${name}${owner}`
}
