// A worker whose run asks all the while whether it may go on, and which is stopped, blocks its event loop, or is closed by force,
// as it is told. It tells when it runs, why it may not go on any more with when it last might (on the clock of all processes),
// and whether its result was taken.
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { SingletonWorker, singletonRun } from 'soloist/bullmq'

/** @type {{ url: string, prefix: string, lockPrefix: string, options: object }} */
const { url, prefix, lockPrefix, options } = JSON.parse(String(process.env.CONFIG))
const { hostname: host, port } = new URL(url)

const worker = new SingletonWorker(
  'work',
  async job => {
    const run = singletonRun(job)
    let validAt = 0n
    for (;;) {
      const at = process.hrtime.bigint()
      try {
        run.assertValid()
        if (validAt === 0n) process.send?.('running')
        validAt = at
      } catch (/** @type {any} */ error) {
        process.send?.({ code: error.code, aborted: run.signal.aborted, validAt: String(validAt) })
        break
      }
      await sleep(2)
    }
    await once(process, 'message')
    return -1
  },
  { connection: { host, port: Number(port) }, prefix, ...options, singleton: { prefix: lockPrefix } },
)
process.on('message', what => {
  if (what === 'close') worker.close(true)
  if (typeof what === 'number') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, what)
})
worker.on('completed', () => process.send?.('completed'))
worker.on('error', (/** @type {any} */ error) => {
  // What BullMQ's scripts refuse has a number.
  if (typeof error.code === 'number') process.send?.('not taken')
})
await worker.waitUntilReady()
process.send?.('ready')
