// What stands between a library and its server, and does to its connections what networks do.
import { once } from 'node:events'
import { connect, createServer } from 'node:net'

const HOST = '127.0.0.1'

/** @param {number} targetPort */
export async function startProxy(targetPort) {
  /** @typedef {{ near: import('node:net').Socket, far: import('node:net').Socket, mute: boolean }} Pair */
  /** @type {Set<Pair>} */
  const pairs = new Set()
  let delayMs = 0
  let holds = false
  /** @type {(() => void)[]} */
  let held = []

  /** @param {() => void} forward @param {number} ms */
  const pass = (forward, ms) => {
    if (holds) held.push(forward)
    else if (ms > 0) setTimeout(() => pass(forward, 0), ms)
    else forward()
  }

  const server = createServer(near => {
    const far = connect(targetPort, HOST)
    /** @type {Pair} */
    const pair = { near, far, mute: false }
    pairs.add(pair)
    const end = () => {
      pairs.delete(pair)
      near.destroy()
      far.destroy()
    }
    /** @param {import('node:net').Socket} to @param {Buffer} data */
    const write = (to, data) => {
      if (!to.destroyed) to.write(data)
    }
    near.on('data', data => pass(() => write(far, data), 0))
    far.on('data', data => {
      if (!pair.mute) pass(() => write(near, data), delayMs)
    })
    for (const socket of [near, far]) {
      // What becomes of a connection is seen by its end.
      socket.on('error', () => {})
      socket.on('close', end)
    }
  }).listen(0, HOST)
  await once(server, 'listening')
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())

  const cut = () => {
    for (const { near, far } of [...pairs]) {
      near.resetAndDestroy()
      far.destroy()
    }
  }
  return {
    url: `redis://${HOST}:${port}`,
    port,
    /** Resets all connections. */
    cut,
    /** Delivers what the server says so much later. @param {number} ms */
    delay(ms) {
      delayMs = ms
    },
    /** Holds everything back, in both directions, until `heal`. */
    blackhole() {
      holds = true
    },
    /** Requests of the present connections arrive, and nothing comes back. Ended by `cut`. */
    mute() {
      for (const pair of pairs) pair.mute = true
    },
    heal() {
      holds = false
      delayMs = 0
      for (const forward of held.splice(0)) forward()
      held = []
    },
    close() {
      cut()
      server.close()
    },
  }
}
