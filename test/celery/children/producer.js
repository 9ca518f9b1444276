// Submits one task with a short grace time: `producer.js URL NAME GRACE_MS`. Says `publishing` when it has the lock, and
// publishes once it gets a line; then it prints the outcome.
import { once } from 'node:events'
import { CeleryLocks, CeleryTask } from 'soloist/celery'

const [url = '', name = '', graceMs = ''] = process.argv.slice(2)
const locks = new CeleryLocks(url)
const task = new CeleryTask(locks, name, { graceMs: Number(graceMs) })
const publish = async () => {
  console.log('publishing')
  await once(process.stdin, 'data')
}
const outcome = await task.submit([], {}, publish, { taskId: 'of the child' })
console.log(JSON.stringify(outcome))
await locks.close()
process.stdin.destroy()
