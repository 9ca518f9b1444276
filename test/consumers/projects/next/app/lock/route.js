import { Redis } from 'ioredis'
import { connect, LockTimeoutError } from 'soloist'
import { redisBackend } from 'soloist/redis'

export const dynamic = 'force-dynamic'

const { REDIS_URL: url, PREFIX: prefix } = process.env

/** Takes a lock on a client of the application's, or by a URL, and answers who owned it. */
export async function POST(request) {
  const { name, by } = await request.json()
  const plain = new Redis(url)
  const solo = by === 'url' ? connect(url, { prefix }) : connect(redisBackend(plain, { prefix }))
  try {
    const told = await solo.withLock(name, { waitMs: 0 }, async ({ owner }) => {
      const { holders } = await solo.inspect(name)
      return { owner, shown: holders.map(holder => holder.owner), redis: await plain.get(`${prefix}${name}`) }
    })
    return Response.json(told)
  } catch (error) {
    if (!(error instanceof LockTimeoutError)) throw error
    return Response.json({ holder: error.holder }, { status: 409 })
  } finally {
    await solo.close()
    plain.disconnect()
  }
}
