// Adds and runs a job with what the application has already, closes that, and nothing else. It must end by itself. Arguments:
// the port, and whether queue and worker share a client of the application's.
import { once } from 'node:events'
import { Queue, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import { SingletonAdder, SingletonProcessor } from 'soloist/bullmq'

const [port, shared] = process.argv.slice(2)
const options = { host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: null }
const client = shared === 'shared' ? new Redis(options) : null
const connection = /** @type {import('bullmq').ConnectionOptions} */ (client ?? options)
const prefix = `wrapped-${process.pid}`

const queue = new Queue('work', { connection, prefix })
const adder = new SingletonAdder(queue, { prefix: `${prefix}:`, jobs: { sync: {} } })
const singletons = new SingletonProcessor(async () => 'ran', { prefix: `${prefix}:` })
const worker = singletons.attach(new Worker('work', singletons.process, { connection, prefix }))
const completed = once(worker, 'completed')
const { outcome } = await adder.addUnique('sync', { key: 1 })
await completed
console.log(outcome.status)
await worker.close()
await queue.obliterate({ force: true })
await queue.close()
client?.disconnect()
console.log('closed')
