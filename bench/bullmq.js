import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'

const KINDS = ['Queue.add', 'SingletonQueue.add', 'SingletonQueue.add with a solo']
/** Short, so that a machine whose speed changes is as fast for one as for the other. */
const TURN_MS = 200
const ADDER = fileURLToPath(new URL('bullmq-adder.js', import.meta.url))

/**
 * Adds distinct jobs to a queue of BullMQ's, to ours, and to ours with the locks where `solo` has them: each in a process of
 * its own, by turns, 50 at a time.
 *
 * @param {string} redisUrl @param {number} seconds for each
 */
export async function bullmqAdds(redisUrl, seconds) {
  const admin = new Redis(redisUrl)
  const adders = KINDS.map(kind => fork(ADDER, [redisUrl, kind]))
  await Promise.all(adders.map(adder => once(adder, 'message')))
  /** @param {import('node:child_process').ChildProcess} adder */
  const turn = async adder => {
    const before = await redisCpuUs(admin)
    adder.send(TURN_MS)
    const [{ added, ms, cpuUs }] = await once(adder, 'message')
    const redisUs = (await redisCpuUs(admin)) - before
    await admin.flushall()
    return { added, ms, cpuUs, redisUs }
  }
  const sums = KINDS.map(() => ({ added: 0, ms: 0, cpuUs: 0, redisUs: 0 }))
  const turns = Math.ceil((seconds * 1_000) / TURN_MS)
  // The first turns warm up.
  for (let i = -3; i < turns; i += 1) {
    for (const [k, adder] of adders.entries()) {
      const measured = await turn(adder)
      const sum = sums[k]
      if (i < 0 || sum === undefined) continue
      sum.added += measured.added
      sum.ms += measured.ms
      sum.cpuUs += measured.cpuUs
      sum.redisUs += measured.redisUs
    }
  }
  for (const adder of adders) adder.disconnect()
  await Promise.all(adders.map(adder => once(adder, 'exit')))
  admin.disconnect()
  const rates = sums.map(({ added, ms }) => added / (ms / 1_000))
  return Object.fromEntries(
    sums.map(({ added, cpuUs, redisUs }, k) => [
      KINDS[k],
      {
        'adds/s': Math.round(rates[k] ?? 0),
        'CPU µs': Math.round(cpuUs / added),
        "Redis' CPU µs": Math.round(redisUs / added),
        'of Queue.add': Math.round(((rates[k] ?? 0) / (rates[0] ?? 1)) * 100) / 100,
      },
    ]),
  )
}

/** The CPU time the server has used. @param {Redis} redis */
async function redisCpuUs(redis) {
  const used = [...(await redis.info('cpu')).matchAll(/^used_cpu_(?:sys|user):([\d.]+)/gm)]
  return used.reduce((sum, [, seconds]) => sum + Number(seconds) * 1_000_000, 0)
}
