// Triggers many times in one tick, when it is told to.
import { once } from 'node:events'
import { SingletonQueue } from 'soloist/bullmq'

/** @type {{ url: string, prefix: string, lockPrefix: string, from: number, count: number }} */
const { url, prefix, lockPrefix, from, count } = JSON.parse(String(process.env.CONFIG))
const { hostname: host, port } = new URL(url)
/** @param {any} data */
const valuesOf = data => data.all ?? [data.value]
const queue = new SingletonQueue('work', {
  connection: { host, port: Number(port) },
  prefix,
  singleton: {
    prefix: lockPrefix,
    jobs: {
      sync: {
        uniqueOn: ['key'],
        onDuplicate: 'rerun',
        merge: (a, b) => ({ ...b, all: [...valuesOf(a), ...valuesOf(b)] }),
      },
    },
  },
})
await queue.waitUntilReady()
process.send?.('ready')
await once(process, 'message')
const adds = Array.from({ length: count }, (_, i) => queue.addUnique('sync', { key: 1, value: from + i }))
const statuses = (await Promise.all(adds)).map(({ outcome }) => outcome.status)
process.send?.([...new Set(statuses)])
await queue.close()
process.disconnect()
