// Adds distinct jobs to one queue, 50 at a time, in a process of its own: as long as each message says, in milliseconds.
import { Queue } from 'bullmq'
import { connect } from 'soloist'
import { SingletonQueue } from 'soloist/bullmq'

const ADDS_AT_ONCE = 50

const [redisUrl = '', kind = ''] = process.argv.slice(2)
const { hostname: host, port } = new URL(redisUrl)
const connection = { host, port: Number(port) }
const jobs = { sync: { uniqueOn: ['key'] } }
const solo = connect(redisUrl)
/** @type {Record<string, () => Queue | SingletonQueue>} */
const queues = {
  'Queue.add': () => new Queue('bench', { connection }),
  'SingletonQueue.add': () => new SingletonQueue('bench', { connection, singleton: { jobs } }),
  'SingletonQueue.add with a solo': () => new SingletonQueue('bench', { connection, singleton: { jobs, solo } }),
}
const queue = /** @type {Queue} */ (queues[kind]?.())
await queue.waitUntilReady()
let key = 0

process.on('message', async ms => {
  const startedAt = performance.now()
  const cpu = process.cpuUsage()
  let added = 0
  const adder = async () => {
    while (performance.now() - startedAt < Number(ms)) {
      key += 1
      await queue.add('sync', { key, text: 'some data that is a little longer', at: startedAt })
      added += 1
    }
  }
  await Promise.all(Array.from({ length: ADDS_AT_ONCE }, adder))
  const { user, system } = process.cpuUsage(cpu)
  process.send?.({ added, ms: performance.now() - startedAt, cpuUs: user + system })
})
process.once('disconnect', async () => {
  await queue.close()
  await solo.close()
})
process.send?.('ready')
