// The service's front: takes deliveries, keeps each account's latest state, and triggers its sync. A process of its own.
import { once } from 'node:events'
import { Redis } from 'ioredis'
import { SingletonQueue } from 'soloist/bullmq'
import { createEndpoint } from './endpoint.js'
import { printFault, QUEUE, serve } from './process.js'
import { Store } from './store.js'

/** A sync whose target fails is tried again. */
const JOB = {
  attempts: 10,
  backoff: { type: 'exponential', delay: 25 },
  removeOnComplete: true,
}
/** How long requests that are here when the process is to end may take. */
const DRAIN_MS = 500

serve(async ({ redis: connection, secret }) => {
  const redis = new Redis(connection).on('error', printFault)
  const store = new Store(redis)
  const queue = new SingletonQueue(QUEUE, {
    connection,
    singleton: {
      // One sync per account is live, and what is delivered while it runs makes it run exactly once more.
      jobs: { sync: { uniqueOn: ['account'], onDuplicate: 'rerun' } },
    },
  })
  queue.on('error', printFault)

  // The order matters: the state is there before the trigger, so the run that covers the trigger reads it or a newer one.
  // If this process dies in between, the sender has no answer and sends again. No list of known ids is needed: to keep a
  // state twice and to trigger twice changes nothing.
  const endpoint = createEndpoint(secret, async ({ id: delivery, ...state }) => {
    const { account, version } = state
    await store.note({ step: 'received', account, version, delivery })
    await store.keep(state)
    const { outcome } = await queue.addUnique('sync', { account }, JOB)
    await store.note({ step: 'accepted', account, version, delivery, status: outcome.status })
    return { status: outcome.status, job: outcome.id }
  })
  endpoint.listen(0, '127.0.0.1')
  await once(endpoint, 'listening')
  const { port } = /** @type {import('node:net').AddressInfo} */ (endpoint.address())

  return {
    ready: { url: `http://127.0.0.1:${port}/webhooks` },
    stop: async () => {
      // Requests that are here already are answered first. A connection on which none comes is cut.
      const cut = setTimeout(() => endpoint.closeAllConnections(), DRAIN_MS)
      await new Promise(resolve => endpoint.close(resolve))
      clearTimeout(cut)
      await queue.close()
      redis.disconnect()
    },
  }
})
