import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { connect } from 'soloist'
import { interrupted, judge } from './judge.js'
import { QUEUE } from './process.js'
import { Progress } from './progress.js'
import { plan, Sender } from './sender.js'
import { Service } from './service.js'
import { Store } from './store.js'

/** @typedef {import('./store.js').Entry} Entry */
/** @typedef {import('./judge.js').Judgement} Judgement */
/** @typedef {import('./service.js').Member} Member */

/** @typedef {{ worker: string, pid: number, accounts: string[] }} Kill the accounts are those that were being synced */

/**
 * @typedef {object} RunRecord
 * @property {number} deliveries
 * @property {number} requests HTTP requests that were sent
 * @property {number} answered of them, those that were answered with success
 * @property {Judgement['statuses']} statuses
 * @property {Judgement['runs']} runs
 * @property {Kill | null} kill
 * @property {import('./judge.js').AccountRow[]} accounts
 * @property {string[]} problems empty when the service kept every promise
 * @property {number} tookMs
 */

const WORKERS = 2
/** After this share of the deliveries the first worker that begins a run is killed. */
const KILL_AFTER = 0.4
const LOOK_MS = 50
/** A lock is given up right after its job has ended; longer than this it is left. */
const LEFT_MS = 3_000
/** How long what is in the queue may take after the last delivery. */
const DRAIN_MS = 60_000
const CLOSE_MS = 3_000

/**
 * Runs the service on a Redis, sends deliveries, kills a worker, waits until nothing is left to do, and judges.
 *
 * @param {import('./redis.js').Server} server
 * @param {number} count of deliveries
 * @param {AbortSignal} signal ends it early, with a rejection
 * @returns {Promise<RunRecord>}
 */
export async function run({ address, failed: redisFailed }, count, signal) {
  const redis = new Redis(address)
  const queue = new Queue(QUEUE, { connection: address })
  // A server that is gone ends the run, whoever notices first.
  for (const client of [redis, queue]) client.on('error', () => {})
  const solo = connect(`redis://${address.host}:${address.port}`)
  const store = new Store(redis)
  const sender = new Sender(randomBytes(16).toString('hex'))
  const progress = new Progress(process.stdout, count, sender)
  const killer = new Killer(store, progress)
  const service = new Service({ redis: address, secret: sender.secret }, (told, member) => {
    progress.told(told)
    const due = told.step === 'start' && sender.answered >= count * KILL_AFTER
    if (due && !signal.aborted) killer.kill(service, member)
  })
  const failed = Promise.race([service.failed, redisFailed])
  try {
    const workers = Array.from({ length: WORKERS }, () => service.work())
    const [url] = await Promise.race([failed, Promise.all([service.receive(), ...workers])])
    console.log(`a receiver at ${url}, ${WORKERS} workers, redis-server on port ${address.port}`)
    const startMs = performance.now()
    progress.start()
    await Promise.race([failed, sender.sendAll(url, plan(count), signal)])
    await Promise.race([failed, killer.done])
    await Promise.race([failed, until(() => isIdle(queue), DRAIN_MS, signal)])
    const tookMs = performance.now() - startMs
    const idle = await isIdle(queue)
    await until(async () => (await locksOf(solo)).length === 0, LEFT_MS, signal)
    progress.stop()
    const left = await locksOf(solo)
    const { requests, answered } = sender
    const counts = { deliveries: count, requests, answered, kill: killer.victim, tookMs }
    return await conclude(store, counts, [
      ...(idle ? [] : ['the queue did not become empty']),
      ...left.map(name => `${name} is still held`),
    ])
  } finally {
    progress.stop()
    // Without Redis some of this would wait for ever.
    const atMost = (/** @type {Promise<unknown> | null} */ work) =>
      Promise.race([Promise.allSettled([work]), sleep(CLOSE_MS, undefined, { ref: false })])
    await atMost(killer.done)
    await service.stop()
    await atMost(Promise.all([solo.close(), queue.close()]))
    redis.disconnect()
  }
}

/** Kills one worker in the middle of a run, and starts another in its place. */
class Killer {
  /** Whom it killed. @type {Kill | null} */
  victim = null
  /** Its work so far. @type {Promise<void> | null} */
  done = null
  #store
  #progress
  #armed = true

  /** @param {Store} store @param {Progress} progress */
  constructor(store, progress) {
    this.#store = store
    this.#progress = progress
  }

  /** Kills a worker that has just begun a run, unless one was killed before. @param {Service} service @param {Member} member */
  kill(service, member) {
    if (!this.#armed) return
    this.#armed = false
    this.done = this.#kill(service, member)
    // A failure is met where it is awaited.
    this.done.catch(() => {})
  }

  /** @param {Service} service @param {Member} member */
  async #kill(service, member) {
    const { name: worker, pid } = member
    // On a busy machine the word of a run comes when it has ended. A worker that stands still can be looked at before.
    service.suspend(member)
    let isRunning = false
    try {
      isRunning = interrupted(await this.#store.journal(), pid).length > 0
    } finally {
      if (!isRunning) service.resume(member)
    }
    this.#armed = !isRunning
    if (!isRunning) return
    await service.kill(member)
    const accounts = interrupted(await this.#store.journal(), pid)
    await this.#store.note({ step: 'killed', pid })
    // What it had sent before it stood still may have ended its runs: then it is another one's turn.
    if (accounts.length > 0) this.victim = { worker, pid, accounts }
    this.#progress.killed(worker, accounts)
    const { name } = await service.work()
    this.#progress.say(`${name} takes its place`)
    this.#armed = accounts.length === 0
  }
}

/** @param {Store} store @param {Omit<RunRecord, 'statuses' | 'runs' | 'accounts' | 'problems'>} counts @param {string[]} problems */
async function conclude(store, counts, problems) {
  const entries = await store.journal()
  const { statuses, runs, runsOf, overlaps, uncovered, backwards } = judge(entries)
  const accounts = await accountRows(store, entries, runsOf)
  const stale = accounts.filter(({ delivered, synced }) => delivered !== synced)
  const began = runs.completed + runs.failed + runs.killed
  return {
    ...counts,
    statuses,
    runs,
    accounts,
    problems: [
      ...problems,
      ...(counts.kill === null ? ['no worker was killed in the middle of a run'] : []),
      ...stale.map(({ account, synced }) => `${account}: version ${synced} is at the target, which is not the last`),
      ...overlaps,
      ...uncovered,
      ...backwards,
      ...(began * 2 > counts.deliveries ? [`${began} runs are too many for ${counts.deliveries} deliveries`] : []),
    ],
  }
}

/** @param {Store} store @param {readonly Entry[]} entries @param {Judgement['runsOf']} runsOf */
async function accountRows(store, entries, runsOf) {
  const received = entries.filter(({ step }) => step === 'received')
  const names = [...new Set(received.map(({ account = '' }) => account))].sort()
  return await Promise.all(
    names.map(async account => {
      const its = received.filter(entry => entry.account === account)
      return {
        account,
        deliveries: new Set(its.map(({ delivery }) => delivery)).size,
        received: its.length,
        runs: runsOf.get(account) ?? 0,
        delivered: Math.max(...its.map(({ version = 0 }) => version)),
        synced: (await store.synced(account))?.version ?? 0,
      }
    }),
  )
}

/** @param {Queue} queue */
async function isIdle(queue) {
  return (await queue.getJobCountByTypes('active', 'waiting', 'delayed', 'prioritized')) === 0
}

/** @param {import('soloist').Soloist} solo */
async function locksOf(solo) {
  const names = []
  for await (const { name } of solo.jobs.list()) names.push(name)
  return names
}

/** Resolves when the condition holds, or the time is over. @param {() => Promise<boolean>} condition @param {number} ms @param {AbortSignal} signal */
async function until(condition, ms, signal) {
  const endMs = performance.now() + ms
  while (!(await condition()) && performance.now() < endMs) await sleep(LOOK_MS, undefined, { signal })
}
