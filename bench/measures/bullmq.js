import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const KINDS = ['Queue.add', 'SingletonQueue.add', 'SingletonQueue.add with a solo']
/** Short, so that a machine whose speed changes is as fast for one as for the other. */
const TURN_MS = 200
const ADDER = fileURLToPath(new URL('bullmq-adder.js', import.meta.url))

/**
 * Adds distinct jobs to a queue of BullMQ's, to ours, and to ours with the locks where `solo` has them: each in a process of
 * its own, by turns, 50 at a time.
 *
 * @param {import('./locks.js').Run} run
 */
export async function bullmqAdds({ redis, ms, rounds, progress }) {
  const adders = KINDS.map(kind => fork(ADDER, [redis.url, kind]))
  await Promise.all(adders.map(adder => once(adder, 'message')))
  /** @param {import('node:child_process').ChildProcess} adder */
  const turn = async adder => {
    const before = await redis.cpuUs()
    adder.send(TURN_MS)
    const [{ added, ms, cpuUs }] = await once(adder, 'message')
    const redisUs = (await redis.cpuUs()) - before
    await redis.flush()
    return { added, ms, cpuUs, redisUs }
  }
  const sums = KINDS.map(() => ({ added: 0, ms: 0, cpuUs: 0, redisUs: 0 }))
  const turns = Math.ceil((ms * rounds) / TURN_MS)
  // The first turns warm up.
  for (let i = -3; i < turns; i += 1) {
    progress(`adds to a queue of BullMQ: turn ${i + 4} of ${turns + 3}`)
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
  const rates = sums.map(({ added, ms: spent }) => added / (spent / 1_000))
  return Object.fromEntries(
    sums.map(({ added, cpuUs, redisUs }, k) => [
      KINDS[k],
      {
        perSecond: rates[k] ?? 0,
        clientUs: cpuUs / added,
        serverUs: redisUs / added,
        ratio: (rates[k] ?? 0) / (rates[0] ?? 1),
      },
    ]),
  )
}
