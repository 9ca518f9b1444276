import { Redis } from 'ioredis'
import { connect, LockTimeoutError } from 'soloist'
import { redisBackend } from 'soloist/redis'

const { REDIS_URL: url, PREFIX: prefix } = process.env

describe('locks', () => {
  it.each(['memory:', 'sqlite:locks.db', url])('are held on %s', async target => {
    const plain = new Redis(url)
    const solo = target === url ? connect(target, { prefix }) : connect(target)
    const lease = await solo.lock('report')
    expect((await solo.inspect('report')).holders.map(({ owner }) => owner)).toEqual([lease.owner])
    expect(await solo.tryLock('report')).toBe(null)
    expect(await plain.get(`${prefix}report`)).toBe(target === url ? lease.owner : null)
    await lease.release()
    await solo.close()
    plain.disconnect()
  })

  it('are held on a client of the application', async () => {
    const client = new Redis(url)
    const solo = connect(redisBackend(client, { prefix }))
    await solo.withLock('report', async ({ owner }) => {
      expect(await client.get(`${prefix}report`)).toBe(owner)
    })
    await solo.close()
    client.disconnect()
  })

  it('are refused while somebody else holds them', async () => {
    const solo = connect(url, { prefix })
    const refused = await solo.lock('busy', { waitMs: 0 }).catch(error => error)
    expect(refused).toBeInstanceOf(LockTimeoutError)
    expect(refused.holder).toBe(process.env.BUSY)
    await solo.close()
  })
})
