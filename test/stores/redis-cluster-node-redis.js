import { createCluster } from 'redis'
import { redisBackend } from 'soloist/redis'

/** A node-redis cluster of the application's. @param {{ prefix: string }} options */
export async function open({ prefix }) {
  const nodes = String(process.env.SOLOIST_TEST_REDIS_CLUSTER).split(',')
  const cluster = createCluster({ rootNodes: nodes.map(node => ({ url: `redis://${node}` })) })
  cluster.on('error', error => console.error(error))
  await cluster.connect()
  return { backend: redisBackend(cluster, { prefix }), dispose: async () => cluster.destroy() }
}
