import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { SingletonQueue } from 'soloist/bullmq'

const ADDS_AT_ONCE = 50
const ROUNDS = 5

/**
 * Adds distinct jobs to a queue of BullMQ's and to one of ours, by turns, 50 at a time.
 *
 * @param {string} redisUrl @param {number} seconds for both together
 */
export async function bullmqAdds(redisUrl, seconds) {
  const { hostname: host, port } = new URL(redisUrl)
  const connection = { host, port: Number(port) }
  const admin = new Redis(redisUrl)
  const plain = new Queue('bench-plain', { connection })
  const ours = new SingletonQueue('bench-ours', { connection, singleton: { jobs: { sync: { uniqueOn: ['key'] } } } })
  await Promise.all([plain.waitUntilReady(), ours.waitUntilReady()])
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
  const ms = (seconds * 1_000) / (2 * ROUNDS)
  const results = { plain: /** @type {Round[]} */ ([]), ours: /** @type {Round[]} */ ([]) }
  // The first round warms up.
  for (let i = 0; i <= ROUNDS; i += 1) {
    const [first, second] = [await round(plain, ms), await round(ours, ms)]
    if (i === 0) continue
    results.plain.push(first)
    results.ours.push(second)
  }
  await Promise.all([plain.close(), ours.close()])
  admin.disconnect()
  const [before, now] = [median(results.plain), median(results.ours)]
  return {
    'Queue.add': before,
    'SingletonQueue.add': { ...now, 'of Queue.add': Math.round((now['adds/s'] / before['adds/s']) * 100) / 100 },
  }
}

/** @typedef {{ perSecond: number, cpuUs: number }} Round */

/** @param {Round[]} rounds */
function median(rounds) {
  const middle = rounds.toSorted((a, b) => a.perSecond - b.perSecond)[Math.floor(rounds.length / 2)]
  return { 'adds/s': Math.round(middle?.perSecond ?? 0), 'CPU µs': Math.round(middle?.cpuUs ?? 0) }
}
