import { createClient } from 'redis'
import { redisBackend } from 'soloist/redis'

/** A node-redis client of the application's, with a key prefix of its own. @param {{ prefix: string }} options */
export async function open({ prefix }) {
  const client = createClient({ url: String(process.env.SOLOIST_TEST_REDIS), keyPrefix: 'app:' })
  client.on('error', error => console.error(error))
  await client.connect()
  return { backend: redisBackend(client, { prefix }), dispose: async () => client.destroy() }
}
