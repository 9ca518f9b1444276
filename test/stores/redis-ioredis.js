import { Redis } from 'ioredis'
import { redisBackend } from 'soloist/redis'

/** An ioredis client of the application's, with a key prefix of its own. @param {{ prefix: string }} options */
export async function open({ prefix }) {
  const client = new Redis(String(process.env.SOLOIST_TEST_REDIS), { keyPrefix: 'app:' })
  return { backend: redisBackend(client, { prefix }), dispose: async () => client.disconnect() }
}
