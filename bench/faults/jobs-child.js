// A process that adds jobs with a few keys, and runs them: with BullMQ's own deduplication, or through soloist/bullmq.
import { setTimeout as sleep } from 'node:timers/promises'
import { Queue, Worker } from 'bullmq'
import { SingletonQueue, SingletonWorker } from 'soloist/bullmq'
import { randomOf } from './plan.js'
import { now, recordCrashes, recorder } from './recorder.js'

const { library, url, seed, label, log, keys } = JSON.parse(String(process.argv[2]))
const write = recorder(log)
recordCrashes(write)
const random = randomOf(seed)
const { hostname: host, port } = new URL(url)
const connection = { host, port: Number(port) }
const ACT_MS = 10
/** So that a job of a worker that died is found within the run. */
const LOCK = { lockDuration: 3_000, stalledInterval: 1_000 }

let runs = 0
let triggers = 0
let over = false
let ended = false
process.on('message', message => {
  // First nothing is added any more ('stop'), and what was added is run.
  over = true
  if (message === 'end') ended = true
})
process.once('disconnect', () => process.exit(1))

/** @param {{ data: { key: string } }} job @param {AbortSignal} [signal] */
async function processor({ data: { key } }, signal) {
  runs += 1
  const about = { id: `${label}/run ${runs}`, lock: key }
  const startMs = now()
  write({ event: 'granted', ...about, atMs: startMs })
  const forMs = 30 + 400 * random() ** 2
  while (now() < startMs + forMs) {
    await sleep(ACT_MS)
    const atMs = now()
    if (signal?.aborted) throw new Error('not alone any more')
    write({ event: 'act', ...about, atMs })
  }
}

const isSoloist = library === 'soloist/bullmq'
const jobs = { work: { uniqueOn: ['key'], onDuplicate: 'rerun' } }
const options = { connection, ...(isSoloist ? { singleton: { jobs } } : {}) }
const queue = isSoloist
  ? new SingletonQueue('faults', /** @type {any} */ (options))
  : new Queue('faults', { connection })
const run = (/** @type {any} */ job, /** @type {any} */ _token, /** @type {any} */ signal) => processor(job, signal)
const worker = isSoloist
  ? new SingletonWorker('faults', run, /** @type {any} */ ({ ...options, ...LOCK, concurrency: 4 }))
  : new Worker('faults', run, { connection, ...LOCK, concurrency: 4 })
// What a connection meets with is told by its calls.
queue.on('error', () => {})
worker.on('error', () => {})

async function add() {
  triggers += 1
  const key = `key ${Math.floor(random() * keys)}`
  const about = { id: `${label}/${triggers}`, lock: key }
  const deduplication = { id: key, keepLastIfActive: true }
  write({ event: 'trigger', ...about, atMs: now() })
  try {
    await queue.add('work', { key, n: triggers }, isSoloist ? {} : { deduplication })
    write({ event: 'settled', ...about, atMs: now(), ok: true })
  } catch (error) {
    write({
      event: 'settled',
      ...about,
      atMs: now(),
      ok: false,
      error: error instanceof Error ? error.name : 'unknown',
    })
  }
}

process.send?.('ready')
const adding = (async () => {
  while (!over) {
    await add()
    await sleep(20 + 80 * random())
  }
})()
while (!ended) await sleep(50)
await Promise.race([adding, sleep(5_000, null, { ref: false })])
await Promise.race([Promise.all([worker.close(), queue.close()]), sleep(5_000, null, { ref: false })])
process.removeAllListeners('disconnect')
process.exit(0)
