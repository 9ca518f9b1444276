// A producer in a process of its own that comes to a halt when it has its lock, before it adds its job.
import { once } from 'node:events'
import { connect } from 'soloist'
import { SingletonQueue } from 'soloist/bullmq'

/** @type {{ url: string, prefix: string, lockPrefix: string, job: object, graceMs: number }} */
const { url, prefix, lockPrefix, job, graceMs } = JSON.parse(String(process.env.CONFIG))
const { hostname: host, port } = new URL(url)
const solo = connect(url, { prefix: lockPrefix })

class HaltingQueue extends SingletonQueue {
  /** @override @param {Parameters<SingletonQueue['addJob']>} args */
  async addJob(...args) {
    process.send?.('locked')
    await once(process, 'message')
    return await super.addJob(...args)
  }
}

const queue = new HaltingQueue('work', {
  connection: { host, port: Number(port) },
  prefix,
  singleton: { solo, graceMs, jobs: { sync: job } },
})
const { outcome } = await queue.addUnique('sync', { key: 1, value: 1 })
process.send?.(outcome)
await queue.close()
await solo.close()
process.disconnect()
