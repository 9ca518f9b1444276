import { Cluster } from 'ioredis'
import { redisBackend } from 'soloist/redis'

/** An ioredis cluster of the application's, with a key prefix of its own. @param {{ prefix: string }} options */
export async function open({ prefix }) {
  const nodes = String(process.env.SOLOIST_TEST_REDIS_CLUSTER).split(',')
  const cluster = new Cluster(
    nodes.map(node => `redis://${node}`),
    { keyPrefix: 'app:' },
  )
  return { backend: redisBackend(cluster, { prefix }), dispose: async () => cluster.disconnect() }
}
