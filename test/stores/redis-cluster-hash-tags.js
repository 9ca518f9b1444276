import { Cluster } from 'ioredis'
import { redisBackend } from 'soloist/redis'

/** All locks in a few slots of a cluster. @param {{ prefix: string }} options */
export async function open({ prefix }) {
  const nodes = String(process.env.SOLOIST_TEST_REDIS_CLUSTER).split(',')
  const cluster = new Cluster(nodes.map(node => `redis://${node}`))
  return { backend: redisBackend(cluster, { prefix, hashTags: 4 }), dispose: async () => cluster.disconnect() }
}
