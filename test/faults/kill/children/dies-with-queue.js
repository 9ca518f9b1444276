// A process that makes one operation with a queue of BullMQ and kills itself at one boundary of it: before one of its ioredis
// clients sends a command, when that was sent, or when the reply is there and nothing came of it yet.
import { once } from 'node:events'
import process from 'node:process'
import { Redis } from 'ioredis'
import { SingletonQueue, SingletonWorker } from 'soloist/bullmq'
import { Boundaries, say } from './boundaries.js'

const { url, prefix, lockPrefix, operation, point } = JSON.parse(String(process.argv[2]))
const { hostname: host, port } = new URL(url)
const boundaries = new Boundaries(point)
const common = { connection: { host, port: Number(port) }, prefix }
const singleton = { prefix: lockPrefix, graceMs: 500 }

/** @param {{ readonly value: number }} accepted */
const tell = accepted => say(accepted)

const openQueue = () =>
  new SingletonQueue('work', {
    ...common,
    singleton: { ...singleton, jobs: { sync: { uniqueOn: ['key'], onDuplicate: 'rerun' } } },
  })

/** @param {(job: { readonly data: { readonly value: number } }) => Promise<void>} run */
function openWorker(run) {
  const worker = new SingletonWorker('work', run, { ...common, lockDuration: 1_000, stalledInterval: 200, singleton })
  worker.on('error', error => process.stderr.write(`${error.stack}\n`))
  return worker
}

/** @type {Record<string, () => Promise<void>>} */
const operations = {
  async adds() {
    const queue = openQueue()
    await queue.addUnique('sync', { key: 1, value: 1 })
    tell({ value: 1 })
    await queue.close()
  },

  async 'processes what was added'() {
    const worker = openWorker(async ({ data }) => say({ ran: data.value }))
    await once(worker, 'completed')
    await worker.close()
  },

  async 'adds what is to follow, and processes that too'() {
    const queue = openQueue()
    const worker = openWorker(async ({ data }) => {
      if (data.value === 1) {
        await queue.addUnique('sync', { key: 1, value: 2 })
        tell({ value: 2 })
      }
      say({ ran: data.value })
    })
    await once(worker, 'completed')
    await once(worker, 'completed')
    await worker.close()
    await queue.close()
  },
}

const send = Redis.prototype.sendCommand
/** @type {typeof send} */
Redis.prototype.sendCommand = function (command, ...rest) {
  if (boundaries.meets(`before ${command.name}`)) boundaries.die()
  const sent = send.call(this, command, ...rest)
  // What was written leaves in this turn of the event loop.
  if (boundaries.meets(`sent ${command.name}`)) setImmediate(() => boundaries.die())
  const answered = () => {
    if (boundaries.meets(`answered ${command.name}`)) boundaries.die()
  }
  command.promise.then(answered, answered)
  return sent
}

await operations[operation]?.()
say({ places: boundaries.places })
