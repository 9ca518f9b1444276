// What stands between a library and its server, and does to its connections what networks do.
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const HOST = '127.0.0.1'

/** @param {number} targetPort */
export async function startProxy(targetPort) {
  /** @typedef {{ near: import('node:net').Socket, far: import('node:net').Socket, mute: boolean }} Pair */
  /** @type {Set<Pair>} */
  const pairs = new Set()
  let delayMs = 0
  /** Resolves when nothing is held back any more; `null`: nothing is. @type {{ readonly healed: Promise<unknown>, readonly heal: () => void } | null} */
  let hold = null

  /** Everything of one direction of a connection keeps its order, as on any network. @param {import('node:net').Socket} to */
  const pipeTo = to => {
    let last = Promise.resolve()
    return (/** @type {Buffer} */ data, /** @type {number} */ laterMs) => {
      const dueMs = performance.now() + laterMs
      last = last.then(async () => {
        const leftMs = dueMs - performance.now()
        if (leftMs > 0) await sleep(leftMs)
        while (hold !== null) await hold.healed
        if (!to.destroyed) to.write(data)
      })
    }
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
    const [toFar, toNear] = [pipeTo(far), pipeTo(near)]
    near.on('data', data => toFar(data, 0))
    far.on('data', data => {
      if (!pair.mute) toNear(data, delayMs)
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
      /** @type {() => void} */
      let heal = () => {}
      const healed = new Promise(resolve => {
        heal = () => resolve(undefined)
      })
      hold ??= { healed, heal }
    },
    /** Requests of the present connections arrive, and nothing comes back. Ended by `cut`. */
    mute() {
      for (const pair of pairs) pair.mute = true
    },
    heal() {
      hold?.heal()
      hold = null
      delayMs = 0
    },
    close() {
      cut()
      server.close()
    },
  }
}
