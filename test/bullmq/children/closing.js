// Adds many jobs in one tick and closes what it has in the same, or when it is told to. Tells what became of each add and of the
// closing, and then ends by itself. Its settings are the JSON in `CONFIG`.
import { once } from 'node:events'
import { connect, SoloistError } from 'soloist'
import { SingletonFlowProducer, SingletonQueue, SingletonWorker } from 'soloist/bullmq'

/**
 * @type {{ port: number, prefix: string, lockPrefix: string, how: 'add' | 'addBulk' | 'flow', apart: boolean, runs: boolean,
 *   from: number, count: number, keys: number, atOnce: boolean }}
 */
const config = JSON.parse(String(process.env.CONFIG))
const { port, prefix, lockPrefix, how, apart, from, count, keys } = config
const connection = { host: '127.0.0.1', port, retryStrategy: () => 10 }
/** @param {any} data */
const valuesOf = data => data.all ?? [data.value]
const sync = {
  uniqueOn: ['key'],
  onDuplicate: 'rerun',
  merge: (/** @type {any} */ a, /** @type {any} */ b) => ({ ...b, all: [...valuesOf(a), ...valuesOf(b)] }),
}
const solo = apart ? connect(`redis://127.0.0.1:${port}`, { prefix: lockPrefix }) : null
const where = solo === null ? { prefix: lockPrefix } : { solo }
const singleton = /** @type {any} */ ({ ...where, graceMs: 2_000, jobs: { sync } })
const options = { connection, prefix, singleton }

const made = how === 'flow' ? new SingletonFlowProducer(options) : new SingletonQueue('work', options)
/** @type {number[]} */
const ran = []
const worker = config.runs
  ? new SingletonWorker('work', async ({ data }) => ran.push(...valuesOf(data)), { ...options, concurrency: 5 })
  : null
for (const one of [made, worker]) {
  one?.on('error', () => {})
  await one?.waitUntilReady()
}

/** Fifty of each call of `addBulk`. @returns {Promise<unknown>[]} */
function adds() {
  const values = Array.from({ length: count }, (_, i) => from + i)
  const jobs = values.map(value => ({ name: 'sync', queueName: 'work', data: { key: value % keys, value } }))
  if (made instanceof SingletonFlowProducer) return jobs.map(job => made.add(job))
  if (how === 'add') return jobs.map(({ data }) => made.add('sync', data))
  const calls = values.map((_, i) => (i % 50 === 0 ? made.addBulk(jobs.slice(i, i + 50)) : null))
  return values.map((_, i) => Promise.resolve(calls[i - (i % 50)]))
}

/** @param {Promise<unknown>} call */
const told = call =>
  call.then(
    () => 'done',
    error => (error instanceof SoloistError ? error.code : `${error?.stack ?? error}`),
  )

process.send?.('ready')
await once(process, 'message')
const adding = adds().map(told)
if (!config.atOnce) await once(process, 'message')
const since = performance.now()
const closed = await Promise.all([made, ...(worker === null ? [] : [worker])].map(one => told(one.close())))
const closeMs = performance.now() - since
const outcomes = await Promise.all(adding)
await solo?.close()
process.send?.({ closed, closeMs, outcomes, ran })
await once(process, 'message')
process.disconnect()
