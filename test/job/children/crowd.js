// One of several processes that trigger a job and run it. It waits until it is told to go, triggers in one tick or one after the
// other, and tells of each start and end of a run, with when that was on the clock of all processes; then how many triggers came
// to what, and of how many the result came.
// node crowd.js redis PREFIX | sqlite PATH, and its settings as JSON
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'soloist'
import { redisBackend } from 'soloist/redis'
import { sqliteBackend } from 'soloist/sqlite'

const [kind, where = '', text = ''] = process.argv.slice(2)
/** @type {{ job: any, merges?: boolean, describes?: boolean, from: number, count: number, gapMs?: number, workMs?: number,
 *   hangs?: number[], fails?: boolean }} */
const { job: options, merges, describes, from, count, gapMs, workMs = 0, hangs = [], fails } = JSON.parse(text)
const solo = connect(
  kind === 'redis' ? redisBackend(String(process.env.SOLOIST_TEST_REDIS), { prefix: where }) : sqliteBackend(where),
)
// What hangs must not let the process end.
const alive = setInterval(() => {}, 60_000)
const now = () => String(process.hrtime.bigint())
/** @typedef {number[]} Args */
const job = solo.job(
  'crowd',
  {
    uniqueOn: () => 1,
    ...options,
    ...(merges ? { merge: (/** @type {Args} */ a, /** @type {Args} */ b) => [...a, ...b] } : {}),
    ...(describes ? { describe: (/** @type {Args} */ args) => `value ${args}` } : {}),
  },
  async (/** @type {Args} */ args, run) => {
    process.send?.({ what: 'start', args, id: run.id, at: now() })
    if (hangs.includes(args[0] ?? 0)) await new Promise(() => {})
    await sleep(workMs * 2 * Math.random())
    process.send?.({ what: 'end', args, id: run.id, at: now() })
    if (fails) throw new Error('as it should')
    return args
  },
)
process.send?.({ what: 'ready' })
await once(process, 'message')
/** @type {Promise<import('soloist').JobOutcome<Args>>[]} */
const triggers = []
for (let i = 0; i < count; i += 1) {
  triggers.push(job.trigger([from + i]))
  if (gapMs) await sleep(gapMs)
}
/** @type {Record<string, number>} */
const statuses = {}
const outcomes = await Promise.all(triggers)
for (const { status } of outcomes) statuses[status] = (statuses[status] ?? 0) + 1
process.send?.({ what: 'triggered', statuses })
const results = await Promise.allSettled(outcomes.map(outcome => outcome.result()))
const codes = results.map(result => (result.status === 'fulfilled' ? 'ok' : result.reason.code))
process.send?.({ what: 'settled', codes: [...new Set(codes)] })
await once(process, 'message')
clearInterval(alive)
await solo.close()
process.disconnect()
