// One of several processes that add jobs, or run them. Its settings are the JSON in `CONFIG`. A producer waits until it is told to
// go, adds its jobs in one tick or one after the other, or as flows, and tells how many came to what, or what each did. A worker writes each start and end of a
// run to a list on Redis, in one order with what others do: [what, pid, key, values, run, job].
// With `apart` lock and job are two steps.
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { connect, SoloistError } from 'soloist'
import { SingletonFlowProducer, SingletonQueue, SingletonWorker } from 'soloist/bullmq'

/**
 * @type {{ url: string, prefix: string, lockPrefix: string, role: 'producer' | 'worker', queueName?: string, job: any,
 *   merges?: boolean, describes?: boolean, from: number, count: number, keys: number, gapMs?: number, log: string, workMs: number,
 *   apart?: boolean, graceMs?: number, ids?: number, flows?: boolean, opts?: object, tells?: boolean, options: object,
 *   parents?: string[],
 *   hangs: number[], fails: number[] }}
 */
const config = JSON.parse(String(process.env.CONFIG))
const { url, prefix, lockPrefix, queueName = 'work', job } = config
const { hostname: host, port } = new URL(url)
const connection = { host, port: Number(port) }
/** @param {any} data */
const valuesOf = data => data.all ?? [data.value]
const definition = {
  uniqueOn: ['key'],
  ...job,
  ...(config.merges
    ? { merge: (/** @type {any} */ a, /** @type {any} */ b) => ({ ...b, all: [...valuesOf(a), ...valuesOf(b)] }) }
    : {}),
  ...(config.describes ? { describe: (/** @type {any} */ data) => `value ${data.value}` } : {}),
}
const where = config.apart ? { solo: connect(url, { prefix: lockPrefix }) } : { prefix: lockPrefix }
const grace = config.graceMs === undefined ? {} : { graceMs: config.graceMs }
const singleton = { ...where, ...grace, jobs: { sync: definition } }

async function produce() {
  const queue = new SingletonQueue(queueName, { connection, prefix, singleton })
  const flows = config.flows
    ? new SingletonFlowProducer({ connection, prefix, singleton: /** @type {any} */ (singleton) })
    : null
  // Where its connection is reset.
  queue.on('error', () => {})
  await Promise.all([queue.waitUntilReady(), flows?.waitUntilReady()])
  /** @param {number} value */
  const add = async value => {
    const data = { key: value % config.keys, value }
    const parent = config.parents && { id: config.parents[value % config.parents.length], queue: `${prefix}:parents` }
    const opts = {
      ...config.opts,
      ...(config.ids ? { jobId: `id-${value % config.ids}` } : {}),
      ...(parent ? { parent: /** @type {{ id: string, queue: string }} */ (parent) } : {}),
    }
    if (flows === null) return (await queue.addUnique('sync', data, opts)).outcome
    const { job } = await flows.add({ name: 'sync', queueName, data, opts })
    return /** @type {any} */ (job).singleton
  }
  /**
   * Adds again what is told to have failed since nobody answered.
   *
   * @param {number} value
   * @returns {ReturnType<typeof add>}
   */
  const persist = async value => {
    try {
      return await add(value)
    } catch (error) {
      if (!(error instanceof SoloistError) || error.code !== 'BACKEND_UNAVAILABLE') throw error
      return await persist(value)
    }
  }
  process.send?.('ready')
  await once(process, 'message')
  const adds = []
  for (let i = 0; i < config.count; i += 1) {
    adds.push(config.parents ? persist(config.from + i) : add(config.from + i))
    if (config.gapMs) await sleep(config.gapMs)
  }
  const outcomes = await Promise.all(adds)
  /** @type {Record<string, number>} */
  const counts = {}
  for (const { status } of outcomes) counts[status] = (counts[status] ?? 0) + 1
  process.send?.(config.tells ? outcomes : counts)
  await Promise.all([queue.close(), flows?.close()])
  if ('solo' in where) await where.solo.close()
  process.disconnect()
}

async function work() {
  const redis = new Redis(url)
  /** @param {unknown[]} entry */
  const write = (...entry) => redis.rpush(config.log, JSON.stringify(entry))
  const worker = new SingletonWorker(
    queueName,
    async ({ id, data }) => {
      const run = randomUUID()
      await write('start', process.pid, data.key, valuesOf(data), run, id)
      if (config.hangs?.includes(data.value)) {
        process.send?.('hangs')
        await new Promise(() => {})
      }
      await sleep(config.workMs * 2 * Math.random())
      await write('end', process.pid, data.key, valuesOf(data), run, id)
      if (config.fails?.includes(data.value)) throw new Error('as it should')
    },
    { connection, prefix, ...config.options, singleton },
  )
  worker.on('error', () => {})
  await worker.waitUntilReady()
  process.send?.('ready')
}

await (config.role === 'worker' ? work() : produce())
