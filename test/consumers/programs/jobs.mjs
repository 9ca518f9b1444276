// Adds a BullMQ job twice and runs it, and runs a function as a job on Redis. Prints as JSON what became of each, and who
// owned the lock of the queued job, as the list of jobs and a plain GET of another client show it. Queue and worker are given
// where Redis is, or with `CONNECTION=client` a client.
import { Redis } from 'ioredis'
import { connect } from 'soloist'
import { SingletonQueue, SingletonWorker } from 'soloist/bullmq'

const { REDIS_URL: url, PREFIX: prefix, CONNECTION: kind } = process.env
const { hostname: host, port } = new URL(url)

async function main() {
  const plain = new Redis(url)
  const client = kind === 'client' ? new Redis(url, { maxRetriesPerRequest: null }) : null
  const connection = client ?? { host, port: Number(port) }
  const solo = connect(url, { prefix })

  const queue = new SingletonQueue('sync', {
    connection,
    prefix: `${prefix}bull`,
    singleton: { prefix, jobs: { account: { uniqueOn: ['accountId'] } } },
  })
  await queue.waitUntilReady()
  const first = await queue.add('account', { accountId: 7, cause: 'webhook' })
  const again = await queue.add('account', { accountId: 7, cause: 'user' })

  const locks = []
  for await (const { name, holders } of solo.jobs.list()) {
    for (const { owner, fence } of holders) {
      // A lock that was taken in one step with its job has no fence yet.
      locks.push({ owner, oneStep: !(fence > 0), redis: await plain.get(`${prefix}${name}`) })
    }
  }

  const worker = new SingletonWorker('sync', async ({ data }) => `synced ${data.accountId}`, {
    connection,
    prefix: `${prefix}bull`,
    singleton: { prefix },
  })
  const result = await new Promise((resolve, reject) => {
    worker.on('completed', (job, value) => resolve({ id: job.id, value }))
    worker.on('failed', (_job, error) => reject(error))
  })
  await worker.close()

  const next = await queue.add('account', { accountId: 7, cause: 'later' })
  await queue.close()

  const greet = solo.job('greet', async ({ name }) => `hello ${name}`)
  const greetings = await Promise.all([greet.trigger({ name: 'ada' }), greet.trigger({ name: 'ada' })])

  console.log(
    JSON.stringify({
      added: [first, again, next].map(job => ({ id: job.id, status: job.singleton.status })),
      locks,
      result,
      greetings: greetings.map(({ id, status }) => ({ id, status })),
      greeting: await greetings[1].result(),
    }),
  )
  await solo.close()
  plain.disconnect()
  client?.disconnect()
}

main()
