import { createHmac, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'

/**
 * What a sender posts. Its `id` is the same when it is sent again.
 *
 * @typedef {import('./store.js').AccountState & { id: string }} Delivery
 */

/** @typedef {{ status: number, body: object }} Answer */

/** The longest body that is read, in bytes. */
const LONGEST_BODY = 64 * 1024

/** A request that is not answered with success, and why. */
class Refusal extends Error {
  /** @param {number} status @param {string} message */
  constructor(status, message) {
    super(message)
    this.status = status
  }
}

/** The signature of a body, as senders put it in the header `x-signature`. @param {string} secret @param {string | Buffer} body */
export function signatureOf(secret, body) {
  return `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`
}

/**
 * `POST /webhooks` for signed deliveries. It answers 202 with what `accept` returns once that is done, and 503 when it
 * failed, so that the sender sends again.
 *
 * @param {string} secret shared with the senders
 * @param {(delivery: Delivery) => Promise<object>} accept must bear to be called several times with one delivery
 */
export function createEndpoint(secret, accept) {
  const endpoint = createServer((request, response) => {
    answer(secret, accept, request)
      .catch(error => {
        console.error(error)
        return { status: 503, body: { error: 'try again' } }
      })
      .then(({ status, body }) => {
        // What was not read to its end cannot be followed by another request, and who shuts down wants none.
        if (!request.complete || !endpoint.listening) response.setHeader('connection', 'close')
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
      })
  })
  return endpoint
}

/**
 * @param {string} secret
 * @param {(delivery: Delivery) => Promise<object>} accept
 * @param {import('node:http').IncomingMessage} request
 * @returns {Promise<Answer>}
 */
async function answer(secret, accept, request) {
  /** @type {Delivery} */
  let delivery
  try {
    delivery = await deliveryOf(secret, request)
  } catch (error) {
    if (error instanceof Refusal) return { status: error.status, body: { error: error.message } }
    // The sender went away in the middle of its request.
    if (request.destroyed && !request.complete) return { status: 400, body: { error: 'incomplete' } }
    throw error
  }
  return { status: 202, body: await accept(delivery) }
}

/** @param {string} secret @param {import('node:http').IncomingMessage} request */
async function deliveryOf(secret, request) {
  if (request.url !== '/webhooks') throw new Refusal(404, 'there is only /webhooks')
  if (request.method !== 'POST') throw new Refusal(405, 'deliveries are posted')
  const body = await bodyOf(request)
  const given = Buffer.from(String(request.headers['x-signature'] ?? ''))
  const right = Buffer.from(signatureOf(secret, body))
  if (given.length !== right.length || !timingSafeEqual(given, right)) throw new Refusal(401, 'wrong signature')
  return parse(body.toString())
}

/** @param {import('node:http').IncomingMessage} request */
async function bodyOf(request) {
  const chunks = []
  let bytes = 0
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    bytes += chunk.length
    if (bytes > LONGEST_BODY) throw new Refusal(413, `at most ${LONGEST_BODY} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** @param {string} text @returns {Delivery} */
function parse(text) {
  /** @type {Partial<Delivery> | null} */
  let value
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new Refusal(400, error instanceof Error ? error.message : 'no JSON')
  }
  const { id, account, version, plan, seats } = value ?? {}
  const numbers = Number.isSafeInteger(version) && Number.isSafeInteger(seats)
  if (typeof id !== 'string' || typeof account !== 'string' || typeof plan !== 'string' || !numbers) {
    throw new Refusal(400, 'a delivery has id, account, version, plan and seats')
  }
  return /** @type {Delivery} */ ({ id, account, version, plan, seats })
}
