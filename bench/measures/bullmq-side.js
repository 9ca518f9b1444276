// A queue of BullMQ's or of ours with its worker, in a process of its own. Arguments: the URL of its Redis, and which classes.
// Each message says what to measure, and is answered with what it came to.
import { Queue, Worker } from 'bullmq'
import { connect } from 'soloist'
import { SingletonQueue, SingletonWorker } from 'soloist/bullmq'

/** How many callers add at once. */
const ADDERS = 50
/** How many jobs a worker has under way at once. */
const CONCURRENCY = 20

const [redisUrl = '', kind = ''] = process.argv.slice(2)
const { hostname: host, port } = new URL(redisUrl)
const connection = { host, port: Number(port) }
const solo = connect(redisUrl)
/** @type {Record<string, () => [Queue, (work: import('bullmq').Processor) => Worker]>} */
const kinds = {
  BullMQ: () => [
    new Queue('bench', { connection }),
    work => new Worker('bench', work, { connection, concurrency: CONCURRENCY, autorun: false }),
  ],
  Soloist: () => singletons({}),
  'Soloist, in two steps': () => singletons({ solo }),
}

/** @param {{ solo?: import('soloist').Soloist }} where the locks are @returns {[Queue, (work: import('bullmq').Processor) => Worker]} */
function singletons(where) {
  const singleton = { jobs: { sync: { uniqueOn: ['key'] } }, ...where }
  return [
    new SingletonQueue('bench', { connection, singleton }),
    work => new SingletonWorker('bench', work, { connection, concurrency: CONCURRENCY, autorun: false, singleton }),
  ]
}

const make = kinds[kind]
if (make === undefined) throw new Error(`there are no queues called ${kind}`)
const [queue, workerFor] = make()
await queue.waitUntilReady()
/** What is done when a job is taken up. */
let onStart = () => {}
const worker = workerFor(async () => onStart())
await worker.waitUntilReady()
worker.on('error', error => {
  throw error
})
let key = 0

/** Data that has a key of its own. */
const data = () => ({ key: ++key, text: 'some data that is a little longer' })

/** Adds distinct jobs for so long. @param {number} ms */
async function add(ms) {
  const startedAt = performance.now()
  const cpu = process.cpuUsage()
  let added = 0
  const adder = async () => {
    while (performance.now() - startedAt < ms) {
      await queue.add('sync', data())
      added += 1
    }
  }
  await Promise.all(Array.from({ length: ADDERS }, adder))
  const { user, system } = process.cpuUsage(cpu)
  return { count: added, ms: performance.now() - startedAt, cpuUs: user + system }
}

/** Has so many waiting jobs, which do nothing, processed. @param {number} jobs */
async function work(jobs) {
  for (let left = jobs; left > 0; left -= 500) {
    const some = Array.from({ length: Math.min(left, 500) }, () => ({ name: 'sync', data: data() }))
    await queue.addBulk(some)
  }
  let completed = 0
  const done = new Promise(resolve => {
    const count = () => {
      completed += 1
      if (completed < jobs) return
      worker.off('completed', count)
      resolve(undefined)
    }
    worker.on('completed', count)
  })
  const cpu = process.cpuUsage()
  const startedAt = performance.now()
  resume()
  await done
  const ms = performance.now() - startedAt
  const { user, system } = process.cpuUsage(cpu)
  await worker.pause()
  return { count: jobs, ms, cpuUs: user + system }
}

/** How long a job takes from being added to being taken up, on a queue with nothing else. @param {number} jobs */
async function start(jobs) {
  resume()
  /** @type {number[]} */
  const waits = []
  for (let i = 0; i < jobs; i += 1) {
    const completed = new Promise(resolve => worker.once('completed', resolve))
    const addedAt = performance.now()
    onStart = () => waits.push(performance.now() - addedAt)
    await queue.add('sync', data())
    await completed
    // The worker waits for the next job by now, or is about to.
    await new Promise(resolve => setTimeout(resolve, 3))
  }
  onStart = () => {}
  // A worker that waits for a job does not notice that it is paused before one comes.
  const paused = worker.pause()
  await queue.add('other', {})
  await paused
  return { waits }
}

let running = false
function resume() {
  if (!running) {
    running = true
    void worker.run()
  } else worker.resume()
}

/** @type {Record<string, (amount: number) => Promise<object>>} */
const measures = { add, work, start }
process.on('message', async (/** @type {{ measure: string, amount: number }} */ { measure, amount }) => {
  process.send?.(await measures[measure]?.(amount))
})
process.once('disconnect', async () => {
  await worker.close(true)
  await queue.close()
  await solo.close()
  process.exit()
})
process.send?.('ready')
