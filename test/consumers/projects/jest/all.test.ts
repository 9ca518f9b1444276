import { Redis } from 'ioredis'
import { connect, type Lease, LockTimeoutError, type Soloist } from 'soloist'
import { SingletonQueue, SingletonWorker } from 'soloist/bullmq'
import { redisBackend } from 'soloist/redis'

const url = String(process.env.REDIS_URL)
const prefix = String(process.env.PREFIX)
const { hostname: host, port } = new URL(url)

describe('locks', () => {
  it.each(['memory:', 'sqlite:locks.db', url])('are held on %s', async target => {
    const plain = new Redis(url)
    const solo: Soloist = target === url ? connect(target, { prefix }) : connect(target)
    const lease: Lease = await solo.lock('report')
    expect((await solo.inspect('report'))?.holders.map(({ owner }) => owner)).toEqual([lease.owner])
    expect(await solo.tryLock('report')).toBe(null)
    expect(await plain.get(`${prefix}report`)).toBe(target === url ? lease.owner : null)
    await lease.release()
    await solo.close()
    plain.disconnect()
  })

  it('are refused while somebody else holds them', async () => {
    const client = new Redis(url)
    const solo = connect(redisBackend(client, { prefix }))
    const refused = await solo.lock('busy', { waitMs: 0 }).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(LockTimeoutError)
    expect((refused as LockTimeoutError).holder).toBe(process.env.BUSY)
    await solo.close()
    client.disconnect()
  })
})

describe('jobs', () => {
  it('of BullMQ are live once', async () => {
    const connection = { host, port: Number(port) }
    const settings = { connection, prefix: `${prefix}bull` }
    const queue = new SingletonQueue('sync', { ...settings, singleton: { prefix, jobs: { account: {} } } })
    const first = await queue.add('account', { accountId: 7 })
    const again = await queue.add('account', { accountId: 7 })
    expect([first.singleton?.status, again.singleton?.status]).toEqual(['started', 'duplicate'])
    expect(again.id).toBe(first.id)

    const plain = new Redis(url)
    const solo = connect(url, { prefix })
    const owners: (string | null)[] = []
    for await (const { name, holders } of solo.jobs.list()) {
      owners.push(...holders.map(({ owner }) => owner), await plain.get(`${prefix}${name}`))
    }
    const owner = `bullmq:${prefix}bull:sync:${first.id}`
    expect(owners).toEqual([owner, owner])

    const worker = new SingletonWorker('sync', async ({ data }) => `synced ${data.accountId}`, {
      ...settings,
      singleton: { prefix },
    })
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
})
