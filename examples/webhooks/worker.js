// A worker process: syncs one account's latest state to the target at a time, several accounts at once.
import { randomInt, randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { SingletonWorker } from 'soloist/bullmq'
import { printFault, QUEUE, serve, tell } from './process.js'
import { Store } from './store.js'

/** How long the target takes to answer, in milliseconds, and how many of its answers in a hundred are errors. */
const TARGET_MS = { least: 40, most: 100 }
const TARGET_FAILS = 5

serve(async ({ redis: connection }) => {
  const redis = new Redis(connection).on('error', printFault)
  const store = new Store(redis)
  const { pid } = process

  /** @param {import('bullmq').Job<{ account: string }>} job @param {string | undefined} _token @param {AbortSignal} [signal] */
  const sync = async (job, _token, signal) => {
    const { account } = job.data
    const { singleton } = /** @type {{ singleton: { fence: number } }} */ (/** @type {unknown} */ (job.opts))
    const run = { account, run: randomUUID(), fence: singleton.fence, pid }
    await store.note({ step: 'start', ...run })
    tell({ step: 'start', account })
    try {
      const latest = await store.latest(account)
      if (latest === null) throw new Error(`${account} is not known`)
      await sleep(randomInt(TARGET_MS.least, TARGET_MS.most))
      if (randomInt(100) < TARGET_FAILS) throw new Error('the target answered 500')
      // Not alone any more: whoever has the account now writes its latest state.
      signal?.throwIfAborted()
      if (!(await store.write(latest, run.fence))) throw new Error('a later run has written')
      await store.note({ step: 'end', ...run, version: latest.version })
      tell({ step: 'end', account })
    } catch (error) {
      await store.note({ step: 'failed', ...run })
      tell({ step: 'failed', account })
      throw error
    }
  }

  const worker = new SingletonWorker(QUEUE, sync, {
    connection,
    concurrency: 4,
    // Others take the jobs of a worker that died after this time, in milliseconds. Short, to see it here.
    lockDuration: 2_000,
    stalledInterval: 500,
    // It may die with the same job more than once.
    maxStalledCount: 10,
  })
  worker.on('error', printFault)
  await worker.waitUntilReady()
  return {
    ready: {},
    stop: async () => {
      await worker.close()
      redis.disconnect()
    },
  }
})
