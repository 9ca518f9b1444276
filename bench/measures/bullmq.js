// What a queue with singleton jobs costs, beside BullMQ's own on the same server.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { answerOf } from '../crew.js'
import { spread } from './rounds.js'

const KINDS = ['BullMQ', 'Soloist', 'Soloist, in two steps']
/** Short, so that a machine whose speed changes is as fast for one as for the other. */
const TURN_MS = 200
/** How many jobs a worker processes in a turn. */
const JOBS = 1_500
/** How many jobs are added to an idle queue in a turn. */
const STARTS = 50
/** By turns that do not count: code that runs often is compiled better, and more code takes longer until it is. */
const WARM_UP_TURNS = 8
const SIDE = fileURLToPath(new URL('bullmq-side.js', import.meta.url))

/**
 * Three measures, each of BullMQ's classes, of ours, and of ours with the locks where `solo` has them, by turns in processes of
 * their own: adding distinct jobs, 50 at a time; processing jobs that do nothing, 20 at a time; and from adding a job to an idle
 * queue until it is taken up.
 *
 * @param {import('./locks.js').Run} run
 */
export async function queuesOfBullmq({ redis, ms, rounds, progress }) {
  const turns = Math.max(rounds, Math.ceil((ms * rounds) / TURN_MS))
  /** @param {string} measure @param {number} amount */
  const measured = async (measure, amount) => {
    const sides = KINDS.map(kind => fork(SIDE, [redis.url, kind]))
    await Promise.all(sides.map(answerOf))
    /** @type {any[][]} */
    const found = KINDS.map(() => [])
    for (let turn = -WARM_UP_TURNS; turn < turns; turn += 1) {
      progress(`queues of BullMQ, ${measure}: ${turn < 0 ? 'warm-up' : `turn ${turn + 1} of ${turns}`}`)
      // In the one order and in the other, so that none always comes after the same.
      const order = [...sides.keys()]
      if (turn % 2 === 0) order.reverse()
      for (const k of order) {
        const side = /** @type {import('node:child_process').ChildProcess} */ (sides[k])
        const before = await redis.cpuUs()
        const answer = answerOf(side)
        side.send({ measure, amount })
        const figures = await answer
        const serverUs = (await redis.cpuUs()) - before
        if (measure !== 'start') await redis.flush()
        if (turn >= 0) found[k]?.push({ ...figures, serverUs })
      }
    }
    for (const side of sides) side.disconnect()
    await Promise.all(sides.map(side => once(side, 'exit')))
    await redis.flush()
    return found
  }
  return {
    add: rates(await measured('add', TURN_MS)),
    work: rates(await measured('work', JOBS)),
    start: waits(await measured('start', STARTS)),
  }
}

/** @param {any[][]} found of each kind its turns */
function rates(found) {
  const perSecond = (/** @type {any} */ turn) => turn.count / (turn.ms / 1_000)
  return Object.fromEntries(
    KINDS.map((kind, k) => {
      const turns = found[k] ?? []
      const each = (/** @type {string} */ figure) => spread(turns.map(turn => turn[figure] / turn.count)).median
      return [
        kind,
        {
          perSecond: spread(turns.map(perSecond)).median,
          // Of each turn beside BullMQ's of the same round.
          ratio: spread(turns.map((turn, i) => perSecond(turn) / perSecond(found[0]?.[i]))),
          clientUs: each('cpuUs'),
          serverUs: each('serverUs'),
        },
      ]
    }),
  )
}

/** @param {any[][]} found of each kind its turns */
function waits(found) {
  return Object.fromEntries(
    KINDS.map((kind, k) => {
      const all = (found[k] ?? []).flatMap(turn => turn.waits).sort((a, b) => a - b)
      const at = (/** @type {number} */ part) => all[Math.floor((all.length - 1) * part)]
      return [kind, { p50Ms: at(0.5), p99Ms: at(0.99) }]
    }),
  )
}
