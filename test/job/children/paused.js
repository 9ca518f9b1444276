// Triggers a job whose run asks all the while whether it may go on, and blocks its event loop when it is told to. It tells when it
// runs, why it may not go on any more with when it last might (on the clock of all processes), and what became of its trigger.
// node paused.js redis PREFIX | sqlite PATH
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'soloist'
import { redisBackend } from 'soloist/redis'
import { sqliteBackend } from 'soloist/sqlite'

const [kind, where = '', options = ''] = process.argv.slice(2)
const solo = connect(
  kind === 'redis' ? redisBackend(String(process.env.SOLOIST_TEST_REDIS), { prefix: where }) : sqliteBackend(where),
)
const job = solo.job('work', { uniqueOn: [], ...JSON.parse(options) }, async (_, run) => {
  let validAt = 0n
  process.send?.('running')
  for (;;) {
    try {
      run.assertValid()
      validAt = process.hrtime.bigint()
    } catch (/** @type {any} */ error) {
      process.send?.({ code: error.code, aborted: run.signal.aborted, validAt: String(validAt) })
      break
    }
    await sleep(2)
  }
  await once(process, 'message')
  return 'stopped'
})
process.on('message', what => {
  if (typeof what === 'number') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, what)
})
try {
  process.send?.({ result: await job({}) })
} catch (/** @type {any} */ error) {
  process.send?.({ code: error.code })
}
await solo.close()
process.disconnect()
