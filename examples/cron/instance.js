// One instance of an application with a cron job. Its argument is the store's URL. What it does it says, as lines of JSON.
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'soloist'
import { cron } from 'soloist/cron'

/** @param {object} line */
const say = line => console.log(JSON.stringify(line))
let dies = false

const solo = connect(process.argv[2])
const schedule = cron(
  solo,
  'report',
  '* * * * * *',
  // Short, so that the example shows soon what becomes of a tick whose process died.
  { overlap: 'allow', recover: true, ttlMs: 3_000 },
  async ({ scheduledAt, fence, signal }) => {
    const tick = scheduledAt.getTime()
    say({ event: 'begin', tick, fence })
    await sleep(100 + Math.random() * 150)
    if (dies) process.kill(process.pid, 'SIGKILL')
    signal.throwIfAborted()
    say({ event: 'end', tick, fence })
  },
)
schedule.on('tick', ({ scheduledAt, outcome }) => {
  say({ event: 'outcome', tick: scheduledAt.getTime(), status: outcome.status })
})
schedule.on('fault', ({ error }) => console.error(error))

createInterface({ input: process.stdin })
  .on('line', async line => {
    if (line === 'die') dies = true
    else {
      await schedule.stop()
      await solo.close()
      process.exit()
    }
  })
  .on('close', () => process.exit())
say({ event: 'ready' })
