import { createHash, randomBytes } from 'node:crypto'
import type { ClaimId, StoreEvent } from '../../backend.js'
import { SoloistError } from '../../errors.js'
import { clearTimeout, monotonicMs, setTimeout, sleep } from '../../internal/real-time.js'
import type { Database, Listening, Row } from './database/database.js'
import { decode, encode } from './text.js'

/** How often the database is asked for news where it cannot tell them. */
const POLL_MS = 20
/**
 * How long a message to oneself may take, once it was sent, before the channel counts as one that delivers nothing. It is waited
 * for in parts: when this process has stood still, only one of them is over, and what has come meanwhile is read before the next.
 */
const PROOF_MS = 5_000
const PROOF_PART_MS = 200
/** How often it is proven again that messages arrive. */
const PROVE_EVERY_MS = 15_000
/** Where messages do not arrive, they are tried again after this long. */
const RETRY_MS = 60_000
/** A claim that nobody asked about for so long is not watched any more. */
const ALIVE_MS = 12_000

/** What is asked of the database. */
export interface Asked {
  notify(channel: string, payload: string): Promise<void>
  news(): Promise<readonly Row[]>
}

/**
 * Hears of grants to this client's waiting claims and of the ends of the claims it watches. It listens to a channel as soon as
 * there is such a claim, and believes it once a message that it sent through another connection has arrived: a pooler may
 * accept LISTEN and deliver nothing. Until then, and where that cannot be had, it asks every 20 ms as long as it waits.
 */
export class Pushes {
  readonly #listen: Database['listen']
  readonly #asked: Asked
  readonly #prefix: string
  #channel = ''
  #listener: (event: StoreEvent) => void = () => {}
  /** By name and owner: the claims that wait, with the fence of the grant that was told already. */
  readonly #waiting = new Map<string, number | null>()
  /** By name and owner: the claims that are watched, and when each was last asked about. */
  readonly #watching = new Map<string, number>()
  #state: 'off' | 'starting' | 'hears' | 'asks' = 'off'
  #listening: Listening | null = null
  /** What is told when the message with this text has arrived. */
  #proof: { readonly text: string; readonly arrived: () => void } | null = null
  #timer: NodeJS.Timeout | null = null
  #proveDueMs = 0
  #told = false
  #closed = false

  /** @param prefix what comes before each name, encoded */
  constructor(listen: Database['listen'], prefix: string, asked: Asked) {
    this.#listen = listen
    this.#prefix = prefix
    this.#asked = asked
  }

  open(client: string, listener: (event: StoreEvent) => void): void {
    this.#channel = `soloist_${createHash('md5').update(encode(client)).digest('hex')}`
    this.#listener = listener
  }

  addWaiting(claim: ClaimId): void {
    const key = keyOf(claim)
    if (!this.#waiting.has(key)) this.#waiting.set(key, null)
    this.#wake()
  }

  removeWaiting(claim: ClaimId): void {
    if (this.#waiting.size > 0) this.#waiting.delete(keyOf(claim))
  }

  addWatching(claim: ClaimId): void {
    this.#watching.set(keyOf(claim), monotonicMs())
    this.#wake()
  }

  removeWatching(claim: ClaimId): void {
    this.#watching.delete(keyOf(claim))
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#waiting.clear()
    this.#watching.clear()
    if (this.#timer !== null) clearTimeout(this.#timer)
    await this.#endListening()
  }

  get #isNeeded(): boolean {
    return this.#waiting.size > 0 || this.#watching.size > 0
  }

  #wake(): void {
    if (this.#closed) return
    if (this.#state === 'off') void this.#start()
    if (this.#timer === null) this.#later()
  }

  /** Never rejects. */
  async #start(): Promise<void> {
    this.#state = 'starting'
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    this.#later()
    let error: unknown = null
    try {
      if (this.#listen !== null) {
        this.#listening = await this.#listen(this.#channel, {
          onMessage: payload => this.#onMessage(payload),
          onLost: cause => this.#onLost(cause),
        })
        if (!this.#closed && (await this.#arrives())) this.#state = 'hears'
      }
    } catch (cause) {
      error = cause
    }
    if (this.#closed) return void (await this.#endListening())
    if (this.#state !== 'hears') {
      await this.#endListening()
      this.#state = 'asks'
      if (this.#listen !== null && !this.#told) this.#complain(error)
    }
    this.#proveDueMs = monotonicMs() + (this.#state === 'hears' ? PROVE_EVERY_MS : RETRY_MS)
    await this.#catchUp()
    this.#later()
  }

  #complain(cause: unknown): void {
    this.#told = true
    const message =
      'LISTEN delivers nothing, as behind a pooler that gives each transaction another connection: the database is ' +
      `asked every ${POLL_MS} ms as long as claims wait`
    this.#listener({ type: 'fault', error: new SoloistError('BACKEND_UNAVAILABLE', message, { cause }) })
  }

  /** Whether a message that is sent through another connection arrives. */
  async #arrives(): Promise<boolean> {
    const text = randomBytes(8).toString('hex')
    let [arrived, goOn] = [false, () => {}]
    const noted = () => {
      arrived = true
      goOn()
    }
    this.#proof = { text, arrived: noted }
    try {
      await this.#asked.notify(this.#channel, `p${text}`)
      for (let leftMs = PROOF_MS; leftMs > 0 && !arrived; leftMs -= PROOF_PART_MS) {
        await new Promise<void>(resolve => {
          const timer = setTimeout(resolve, PROOF_PART_MS)
          goOn = () => {
            clearTimeout(timer)
            resolve()
          }
        })
      }
      return arrived
    } finally {
      this.#proof = null
    }
  }

  async #endListening(): Promise<void> {
    const listening = this.#listening
    this.#listening = null
    try {
      await listening?.end()
    } catch {
      // The connection is over already, and so is the listening.
    }
  }

  #onLost(error: unknown): void {
    if (this.#closed || this.#state !== 'hears') return
    this.#state = 'off'
    void this.#endListening()
    const message = 'the connection that listens for grants was lost; it is made again'
    this.#listener({ type: 'fault', error: new SoloistError('BACKEND_UNAVAILABLE', message, { cause: error }) })
    if (this.#isNeeded) void this.#start()
  }

  #later(): void {
    if (this.#timer !== null || this.#closed || !this.#isNeeded) return
    const delayMs = this.#state === 'hears' ? PROVE_EVERY_MS : POLL_MS
    // A caller that waits keeps the process alive by a timer of its own. This one need not.
    this.#timer = setTimeout(() => void this.#onTimer(), delayMs).unref()
  }

  /** Never rejects. */
  async #onTimer(): Promise<void> {
    try {
      for (const [key, seenMs] of this.#watching) if (monotonicMs() - seenMs > ALIVE_MS) this.#watching.delete(key)
      if (!this.#isNeeded) return
      if (this.#state === 'asks') await this.#askOrListen()
      else if (this.#state === 'starting') await this.#ask()
      else if (this.#state === 'hears' && monotonicMs() >= this.#proveDueMs) await this.#prove()
    } catch {
      // The next step, at the latest a beat away, meets the same fault and is told of it.
      await sleep(POLL_MS * 10)
    } finally {
      this.#timer = null
      this.#later()
    }
  }

  /** Asks for what may have been told while nobody listened. Never rejects. */
  async #catchUp(): Promise<void> {
    try {
      await this.#ask()
    } catch {
      // Then core asks, by steps, and is told what is wrong.
      if (!this.#closed) this.#listener({ type: 'gap' })
    }
  }

  async #ask(): Promise<void> {
    for (const { kind, name, owner, fence } of await this.#asked.news()) {
      this.#deliver(String(kind), String(name), String(owner), Number(fence))
    }
  }

  async #askOrListen(): Promise<void> {
    if (this.#listen !== null && monotonicMs() >= this.#proveDueMs) {
      this.#state = 'off'
      return void this.#start()
    }
    await this.#ask()
  }

  async #prove(): Promise<void> {
    this.#proveDueMs = monotonicMs() + PROVE_EVERY_MS
    if (!(await this.#arrives())) this.#onLost(new Error('a message to this client did not arrive'))
  }

  /** `p` and a text: a proof; `x`: there is something; `g` or `e`, fence, length of the name, name and owner. */
  #onMessage(payload: string): void {
    if (payload.startsWith('p')) {
      if (payload.slice(1) === this.#proof?.text) this.#proof.arrived()
      return
    }
    const [, kind, fence, length, rest] = /^([ge])(\d+) (\d+) (.*)$/s.exec(payload) ?? []
    if (kind === undefined || rest === undefined) return void this.#catchUp()
    // The database counts characters, and JavaScript halves of some.
    let end = 0
    for (let left = Number(length); left > 0; left -= 1) end += (rest.codePointAt(end) as number) > 0xffff ? 2 : 1
    this.#deliver(kind, rest.slice(0, end), rest.slice(end), Number(fence))
  }

  #deliver(kind: string, rowName: string, rowOwner: string, fence: number): void {
    if (this.#closed || !rowName.startsWith(this.#prefix)) return
    const claim: ClaimId = { name: decode(rowName.slice(this.#prefix.length)), owner: decode(rowOwner) }
    const key = keyOf(claim)
    if (kind === 'e') {
      if (this.#watching.delete(key)) this.#listener({ type: 'ended', ...claim })
      return
    }
    if (this.#waiting.get(key) === fence) return
    this.#waiting.set(key, fence)
    this.#listener({ type: 'granted', ...claim, fence })
  }
}

function keyOf({ name, owner }: ClaimId): string {
  return `${name.length} ${name}${owner}`
}
