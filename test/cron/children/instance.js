// One instance that runs the cron job `tick`, and whose event loop is blocked now and then. Arguments: the store's URL, a
// file, the scheduler, how long it is blocked at most, and the options of the job as JSON. What happens it writes to the
// file, as lines of JSON, before it goes on: so that outlives it. Commands, one a line: `kill` and `stop` (itself, in its
// next run), and `end TIME`: once it has come to a tick of that time or later.
import { openSync, writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import nodeCron from 'node-cron'
import { connect } from 'soloist'
import { coordinator, cron } from 'soloist/cron'

const [url, file, scheduler, blockedMs, options] = process.argv.slice(2)
const record = openSync(file, 'a')
const note = line => writeSync(record, `${JSON.stringify({ pid: process.pid, ...line })}\n`)

/** What is to happen to this process in its next run. */
let inNextRun = null
/** The latest tick that this instance came to, or missed. */
let latest = 0
const came = (event, tick) => {
  note({ event, tick })
  latest = Math.max(latest, tick)
}

async function work(scheduledAt, fence) {
  note({ event: 'begin', tick: scheduledAt.getTime(), fence })
  await sleep(Math.random() * 40)
  if (inNextRun !== null) {
    const signal = inNextRun
    inNextRun = null
    note({ event: signal })
    console.log(signal)
    process.kill(process.pid, signal)
  }
  await sleep(Math.random() * 40)
  note({ event: 'end', tick: scheduledAt.getTime(), fence })
}

/**
 * What @node-cron/redis-coordinator 0.1 does, by its source: the key is set if there is none, for as long as `ttlMs`, and is
 * deleted when the run has ended, by whoever set it. The package itself is not in the registry, so this stands for it.
 */
function ownCoordinator() {
  const redis = new Redis(url)
  const key = name => `node-cron:lock:${name}`
  return {
    shouldRun: async (name, ttlMs) => (await redis.set(key(name), process.pid, 'PX', ttlMs, 'NX')) === 'OK',
    onComplete: async name => {
      if ((await redis.get(key(name))) === String(process.pid)) await redis.del(key(name))
    },
  }
}

const solo = connect(url)
let end
if (scheduler === 'soloist') {
  const schedule = cron(solo, 'tick', '* * * * * *', JSON.parse(options), run => work(run.scheduledAt, run.fence))
  schedule.on('tick', ({ scheduledAt, outcome }) => {
    note({ event: 'outcome', tick: scheduledAt.getTime(), status: outcome.status, fence: outcome.fence ?? null })
    came('came', scheduledAt.getTime())
  })
  schedule.on('missed', ({ until }) => came('missed', until.getTime()))
  schedule.on('clock', () => {})
  schedule.on('failed', () => {})
  end = () => schedule.stop()
} else {
  const silent = { info() {}, warn() {}, error() {}, debug() {} }
  const task = nodeCron.schedule('*/2 * * * * *', ({ date }) => work(date, 0), {
    ...{ name: 'tick', distributed: true, logger: silent },
    // It counts a tick as missed when it is later than this.
    ...{ missedExecutionTolerance: 1_900, suppressMissedWarning: true },
    runCoordinator: scheduler === 'node-cron' ? coordinator(solo) : ownCoordinator(),
  })
  for (const event of ['execution:started', 'execution:skipped']) {
    task.on(event, ({ date }) => came('came', date.getTime()))
  }
  task.on('execution:missed', ({ date }) => came('missed', date.getTime()))
  end = () => task.destroy()
}

createInterface({ input: process.stdin })
  .on('line', async line => {
    if (line === 'kill') inNextRun = 'SIGKILL'
    else if (line === 'stop') inNextRun = 'SIGSTOP'
    else {
      const untilMs = Number(line.split(' ')[1])
      while (latest < untilMs) await sleep(20)
      await end()
      // What it tells of the last run is told after that.
      await new Promise(resolve => setImmediate(resolve))
      process.exit()
    }
  })
  .on('close', () => process.exit())
console.log('ready')

const nothing = new Int32Array(new SharedArrayBuffer(4))
for (;;) {
  await sleep(200 + Math.random() * 800)
  Atomics.wait(nothing, 0, 0, Math.random() * Number(blockedMs))
}
