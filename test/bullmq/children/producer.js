// A producer in a process of its own whose lock and job are two steps. It comes to a halt after those of its calls of the locks whose
// numbers are in `halts`, by default after the first, between its lock and its job.
import { once } from 'node:events'
import { connect } from 'soloist'
import { SingletonQueue } from 'soloist/bullmq'

/**
 * @type {{ url: string, prefix: string, lockPrefix: string, job: any, graceMs: number, merges?: boolean, key?: number,
 *   value?: number, halts?: readonly number[] }}
 */
const config = JSON.parse(String(process.env.CONFIG))
const { url, prefix, lockPrefix, job, graceMs, key = 1, value = 1, halts = [1] } = config
const { hostname: host, port } = new URL(url)
const solo = connect(url, { prefix: lockPrefix })

let calls = 0
for (const method of /** @type {const} */ (['trigger', 'inspect', 'takeBack', 'take', 'queue', 'renew', 'release'])) {
  const call = /** @type {(...args: any[]) => Promise<any>} */ (solo.jobs[method].bind(solo.jobs))
  const halting = async (/** @type {any[]} */ ...args) => {
    calls += 1
    const stops = halts.includes(calls)
    const told = await call(...args)
    if (!stops) return told
    process.send?.('locked')
    await once(process, 'message')
    return told
  }
  Object.assign(solo.jobs, { [method]: halting })
}

/** @param {any} data */
const valuesOf = data => data.all ?? [data.value]
/** @type {(a: any, b: any) => any} */
const merge = (a, b) => ({ ...b, all: [...valuesOf(a), ...valuesOf(b)] })
const queue = new SingletonQueue('work', {
  connection: { host, port: Number(port) },
  prefix,
  singleton: { solo, graceMs, jobs: { sync: config.merges ? { ...job, merge } : job } },
})
const { outcome } = await queue.addUnique('sync', { key, value })
process.send?.(outcome)
await queue.close()
await solo.close()
process.disconnect()
