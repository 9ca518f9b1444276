// Holds one object of this package that listens to no errors while its server goes and comes back, then uses it. Arguments:
// the port, and what to hold.
import { once } from 'node:events'
import { Queue, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import {
  SingletonAdder,
  SingletonFlowProducer,
  SingletonProcessor,
  SingletonQueue,
  SingletonWorker,
} from 'soloist/bullmq'

const [port, what = ''] = process.argv.slice(2)
const connection = { host: '127.0.0.1', port: Number(port) }
const singleton = { jobs: { sync: {} } }
const job = { name: 'sync', queueName: 'work', data: { key: 1 } }

/** @param {import('bullmq').Worker} worker @returns {Promise<unknown>} */
const runs = async worker => {
  const completed = once(worker, 'completed')
  const queue = new Queue('work', { connection })
  await queue.add('any', {})
  await completed
  await queue.close()
}

/** @type {Record<string, () => { use: () => Promise<unknown>, close: () => Promise<unknown> }>} */
const make = {
  SingletonFlowProducer: () => {
    const flows = new SingletonFlowProducer({ connection, singleton })
    return { use: () => flows.add(job), close: () => flows.close() }
  },
  SingletonQueue: () => {
    const queue = new SingletonQueue('work', { connection, singleton })
    return { use: () => queue.add('sync', { key: 2 }), close: () => queue.close() }
  },
  SingletonWorker: () => {
    const worker = new SingletonWorker('work', async () => 'ran', { connection })
    return { use: () => runs(worker), close: () => worker.close() }
  },
  SingletonAdder: () => {
    const queue = new Queue('work', { connection })
    const adder = new SingletonAdder(queue, singleton)
    return { use: () => adder.addUnique('sync', { key: 3 }), close: () => queue.close() }
  },
  SingletonProcessor: () => {
    const singletons = new SingletonProcessor(async () => 'ran')
    const worker = singletons.attach(new Worker('work', singletons.process, { connection }))
    return { use: () => runs(worker), close: () => worker.close() }
  },
}

const made = make[what]?.()
if (made === undefined) throw new Error(`what: ${what}`)
await made.use()
const watching = new Redis(connection)
watching.on('error', () => {})
/** @param {string} event @returns {Promise<unknown>} */
const told = event => new Promise(resolve => watching.once(event, resolve))
await told('ready')
console.log('made')
await told('close')
// It comes back no sooner than others have noticed: after a refused connection.
await told('error')
console.log('gone')
await told('ready')
await made.use()
console.log('used')
await made.close()
watching.disconnect()
