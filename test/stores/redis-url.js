import { redisBackend } from 'soloist/redis'

/** The backend's own client, for a URL. @param {{ prefix: string }} options */
export async function open({ prefix }) {
  return { backend: redisBackend(String(process.env.SOLOIST_TEST_REDIS), { prefix }) }
}
