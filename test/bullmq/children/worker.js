// A worker in a process of its own. Its settings are the JSON in `CONFIG`; what it does goes, in one order with what others
// do, to a list on Redis: [what, pid, key, value, run].
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { SingletonWorker } from 'soloist/bullmq'

/** @type {{ url: string, prefix: string, lockPrefix: string, log: string, workMs: number, options: object }} */
const { url, prefix, lockPrefix, log, workMs, options } = JSON.parse(String(process.env.CONFIG))
const { hostname: host, port } = new URL(url)
const redis = new Redis(url)
/** @param {unknown[]} entry */
const write = (...entry) => redis.rpush(log, JSON.stringify(entry))

const worker = new SingletonWorker(
  'work',
  async job => {
    const run = randomUUID()
    const { key, value } = job.data
    await write('start', process.pid, key, value, run)
    process.send?.('running')
    await sleep(workMs * 2 * Math.random())
    await write('end', process.pid, key, value, run)
  },
  {
    connection: { host, port: Number(port) },
    prefix,
    ...options,
    singleton: { prefix: lockPrefix, graceMs: 500 },
  },
)
worker.on('error', error => process.stderr.write(`${error.stack}\n`))
await worker.waitUntilReady()
process.send?.('ready')
