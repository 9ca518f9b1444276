import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { SingletonQueue } from 'soloist/bullmq'

const ADDS_AT_ONCE = 50
const ROUNDS = 9

/**
 * Adds distinct jobs to a queue of BullMQ's and to ours of either scope, by turns, 50 at a time.
 *
 * @param {string} redisUrl @param {number} seconds for each
 */
export async function bullmqAdds(redisUrl, seconds) {
  const { hostname: host, port } = new URL(redisUrl)
  const connection = { host, port: Number(port) }
  const admin = new Redis(redisUrl)
  const plain = new Queue('bench-plain', { connection })
  /** @param {'store' | 'queue'} scope */
  const singleton = scope =>
    new SingletonQueue(`bench-${scope}`, {
      connection,
      singleton: { jobs: { sync: { uniqueOn: ['key'], scope } } },
    })
  const queues = [plain, singleton('queue'), singleton('store')]
  await Promise.all(queues.map(queue => queue.waitUntilReady()))
  let key = 0
  /** @param {Queue | SingletonQueue} queue @param {number} ms */
  const round = async (queue, ms) => {
    const startedAt = performance.now()
    const cpu = process.cpuUsage()
    let added = 0
    const adder = async () => {
      while (performance.now() - startedAt < ms) {
        key += 1
        await queue.add('sync', { key, text: 'some data that is a little longer', at: startedAt })
        added += 1
      }
    }
    await Promise.all(Array.from({ length: ADDS_AT_ONCE }, adder))
    const { user, system } = process.cpuUsage(cpu)
    const perSecond = added / ((performance.now() - startedAt) / 1_000)
    await admin.flushall()
    return { perSecond, cpuUs: (user + system) / added }
  }
  const ms = (seconds * 1_000) / ROUNDS
  const rounds = queues.map(() => /** @type {Round[]} */ ([]))
  // The first round warms up.
  for (let i = 0; i <= ROUNDS; i += 1) {
    for (const [k, queue] of queues.entries()) {
      const measured = await round(queue, ms)
      if (i > 0) rounds[k]?.push(measured)
    }
  }
  await Promise.all(queues.map(queue => queue.close()))
  admin.disconnect()
  const [before, ...ours] = rounds.map(median)
  const compared = ours.map(now => ({
    ...now,
    'of Queue.add': Math.round((now['adds/s'] / (before?.['adds/s'] ?? 0)) * 100) / 100,
  }))
  return {
    'Queue.add': before,
    'SingletonQueue.add, scope queue': compared[0],
    'SingletonQueue.add, scope store': compared[1],
  }
}

/** @typedef {{ perSecond: number, cpuUs: number }} Round */

/** @param {Round[]} rounds */
function median(rounds) {
  const middle = rounds.toSorted((a, b) => a.perSecond - b.perSecond)[Math.floor(rounds.length / 2)]
  return { 'adds/s': Math.round(middle?.perSecond ?? 0), 'CPU µs': Math.round(middle?.cpuUs ?? 0) }
}
