// One instance whose timers all fire at once. Argument: the store's URL.
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'soloist'
import { oncePerTick } from 'soloist/cron'
import { answer } from '../../support/crowd-member.js'

// On a busy machine thousands of calls for one SQLite file take longer than a call may by default.
const solo = connect(process.argv[2], { callTimeoutMs: 60_000 })

answer({
  /** Calls so often for one tick, and tells what the calls came to. */
  async come(tick, calls, options) {
    const runs = []
    const work = async ({ fence }) => {
      runs.push(fence)
      await sleep(20)
    }
    const outcomes = await Promise.all(
      Array.from({ length: calls }, () => oncePerTick(solo, 'report', tick, work, options)),
    )
    return { runs, outcomes: outcomes.map(({ status, result = null }) => `${status} ${result}`) }
  },
})
