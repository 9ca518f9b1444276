import { randomInt, randomUUID } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { signatureOf } from './endpoint.js'

/** @typedef {import('./endpoint.js').Delivery} Delivery */

/**
 * A delivery and when it is sent, in milliseconds from the start.
 *
 * @typedef {object} Planned
 * @property {Delivery} delivery
 * @property {number} atMs
 * @property {boolean} twice it is sent again although it was answered, as at-least-once senders do
 * @property {boolean} hurried the sender waits for a moment only and then sends again, whether or not it had arrived
 */

const ACCOUNTS = 12
const TRAFFIC_MS = 4_000
/** A burst: so many changes of one account, within this time. */
const BURST = { least: 8, most: 24, withinMs: 150 }
/** How many deliveries in a hundred are sent twice, and how many hurriedly. */
const TWICE = 12
const HURRIED = 8
const HURRY_MS = 4
const PATIENCE_MS = 10_000
const MOST_TRIES = 20
const PLANS = ['free', 'team', 'business']

/** Bursts of changes of random accounts. Within a burst deliveries overtake each other. @param {number} count @returns {Planned[]} */
export function plan(count) {
  const bursts = []
  for (let left = count; left > 0; ) {
    const size = Math.min(randomInt(BURST.least, BURST.most + 1), left)
    const account = `acct_${String(randomInt(1, ACCOUNTS + 1)).padStart(2, '0')}`
    bursts.push({ account, size, startMs: randomInt(TRAFFIC_MS - BURST.withinMs) })
    left -= size
  }
  /** @type {Map<string, number>} */
  const versions = new Map()
  const planned = bursts
    .sort((a, b) => a.startMs - b.startMs)
    .flatMap(({ account, size, startMs }) =>
      Array.from({ length: size }, () => {
        const version = (versions.get(account) ?? 0) + 1
        versions.set(account, version)
        const plan = /** @type {string} */ (PLANS[randomInt(PLANS.length)])
        return {
          delivery: { id: `evt_${randomUUID()}`, account, version, plan, seats: randomInt(1, 500) },
          atMs: startMs + randomInt(BURST.withinMs),
          twice: randomInt(100) < TWICE,
          hurried: randomInt(100) < HURRIED,
        }
      }),
    )
  return planned.sort((a, b) => a.atMs - b.atMs)
}

/** Sends deliveries as they are planned, each until it is answered with success. */
export class Sender {
  /** HTTP requests that were begun. */
  requests = 0
  /** Of them, those that were answered with success. */
  answered = 0
  /** What deliveries are signed with. */
  secret
  #url = ''

  /** @param {string} secret */
  constructor(secret) {
    this.secret = secret
  }

  /** @param {string} url @param {Planned[]} planned @param {AbortSignal} signal @throws when one was not answered after many tries */
  async sendAll(url, planned, signal) {
    this.#url = url
    // Every delivery waits for its time.
    setMaxListeners(0, signal)
    const startMs = performance.now()
    await Promise.all(
      planned.map(async ({ delivery, atMs, twice, hurried }) => {
        await sleep(startMs + atMs - performance.now(), undefined, { signal })
        const again = twice
          ? sleep(randomInt(300), undefined, { signal }).then(() => this.#send(delivery, false, signal))
          : null
        await Promise.all([this.#send(delivery, hurried, signal), again])
      }),
    )
  }

  /** @param {Delivery} delivery @param {boolean} hurried @param {AbortSignal} stop */
  async #send(delivery, hurried, stop) {
    const body = JSON.stringify(delivery)
    const headers = { 'content-type': 'application/json', 'x-signature': signatureOf(this.secret, body) }
    for (let tries = 1; ; tries += 1) {
      this.requests += 1
      try {
        const patience = AbortSignal.timeout(hurried && tries === 1 ? HURRY_MS : PATIENCE_MS)
        const signal = AbortSignal.any([stop, patience])
        const response = await fetch(this.#url, { method: 'POST', headers, body, signal })
        const text = await response.text()
        if (response.status === 202) {
          this.answered += 1
          return
        }
        if (tries === MOST_TRIES) throw new Error(`${delivery.id} was answered with ${response.status}: ${text}`)
      } catch (error) {
        if (tries === MOST_TRIES || stop.aborted) throw error
      }
      await sleep(25 * tries, undefined, { signal: stop })
    }
  }
}
