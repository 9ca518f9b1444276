// A producer in a process of its own whose lock and job are two steps, and which comes to a halt between them.
import { once } from 'node:events'
import { connect } from 'soloist'
import { SingletonQueue } from 'soloist/bullmq'

/** @type {{ url: string, prefix: string, lockPrefix: string, job: object, graceMs: number }} */
const { url, prefix, lockPrefix, job, graceMs } = JSON.parse(String(process.env.CONFIG))
const { hostname: host, port } = new URL(url)
const solo = connect(url, { prefix: lockPrefix })

const take = solo.jobs.trigger.bind(solo.jobs)
solo.jobs.trigger = async (...args) => {
  const taken = await take(...args)
  process.send?.('locked')
  await once(process, 'message')
  return taken
}

const queue = new SingletonQueue('work', {
  connection: { host, port: Number(port) },
  prefix,
  singleton: { solo, graceMs, jobs: { sync: job } },
})
const { outcome } = await queue.addUnique('sync', { key: 1, value: 1 })
process.send?.(outcome)
await queue.close()
await solo.close()
process.disconnect()
