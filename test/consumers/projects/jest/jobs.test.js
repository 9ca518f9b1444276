import { Redis } from 'ioredis'
import { connect } from 'soloist'
import { SingletonQueue, SingletonWorker } from 'soloist/bullmq'

const { REDIS_URL: url, PREFIX: prefix } = process.env
const { hostname: host, port } = new URL(url)

describe('jobs', () => {
  it('of BullMQ are live once', async () => {
    const connection = { host, port: Number(port) }
    const settings = { connection, prefix: `${prefix}bull` }
    const singleton = { prefix, jobs: { account: { uniqueOn: ['accountId'] } } }
    const queue = new SingletonQueue('sync', { ...settings, singleton })
    const first = await queue.add('account', { accountId: 7, cause: 'webhook' })
    const again = await queue.add('account', { accountId: 7, cause: 'user' })
    expect([first.singleton.status, again.singleton.status]).toEqual(['started', 'duplicate'])
    expect(again.id).toBe(first.id)

    const plain = new Redis(url)
    const solo = connect(url, { prefix })
    const owners = []
    for await (const { name, holders } of solo.jobs.list()) {
      owners.push(...holders.map(({ owner }) => owner), await plain.get(`${prefix}${name}`))
    }
    const owner = `bullmq:${prefix}bull:sync:${first.id}`
    expect(owners).toEqual([owner, owner])

    const run = async ({ data }) => `synced ${data.accountId}`
    const worker = new SingletonWorker('sync', run, { ...settings, singleton: { prefix } })
    const result = await new Promise((resolve, reject) => {
      worker.on('completed', (job, value) => resolve([job.id, value]))
      worker.on('failed', (_job, error) => reject(error))
    })
    expect(result).toEqual([first.id, 'synced 7'])
    await worker.close()
    await queue.close()
    await solo.close()
    plain.disconnect()
  })

  it('of a function are run once', async () => {
    const solo = connect(url, { prefix })
    const run = jest.fn(async ({ name }) => `hello ${name}`)
    const greet = solo.job('greet', run)
    expect(await Promise.all([greet({ name: 'ada' }), greet({ name: 'ada' })])).toEqual(['hello ada', 'hello ada'])
    expect(run).toHaveBeenCalledTimes(1)
    await solo.close()
  })
})
