// Closes what it has while its server is gone and a command waits for it. It must end by itself. Arguments: the port, and what
// to hold.
import { once } from 'node:events'
import { SingletonFlowProducer, SingletonQueue } from 'soloist/bullmq'

const [port, what = ''] = process.argv.slice(2)
const connection = { host: '127.0.0.1', port: Number(port), retryStrategy: () => 10 }
const singleton = { jobs: { sync: {} } }

/** @typedef {{ on(event: 'error', listener: () => void): unknown, waitUntilReady(): Promise<unknown>, close(): Promise<unknown> }} Made */
/** @type {Record<string, () => { made: Made, ask: () => Promise<unknown> }>} */
const make = {
  SingletonFlowProducer: () => {
    const made = new SingletonFlowProducer({ connection, singleton })
    return { made, ask: () => made.getFlow({ queueName: 'work', id: 'none' }) }
  },
  SingletonQueue: () => {
    const made = new SingletonQueue('work', { connection, singleton })
    return { made, ask: () => made.getJob('none') }
  },
}
const { made, ask } = make[what]?.() ?? {}
if (made === undefined || ask === undefined) throw new Error(`what: ${what}`)
// Errors come from here on.
const errors = new EventTarget()
made.on('error', () => errors.dispatchEvent(new Event('error')))
await made.waitUntilReady()
const lost = once(errors, 'error')
console.log('made')
await lost
const asked = ask().then(
  () => 'answered',
  () => 'failed',
)
await made.close()
console.log('closed', await asked)
