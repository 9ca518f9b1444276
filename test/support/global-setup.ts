import { startPgBouncer, startPostgres } from './postgres-server.js'
import { startCluster } from './redis-cluster.js'
import { startRedis } from './redis-server.js'

/**
 * The servers all test files share, each under prefixes of its own; a test that stops or slows a server starts one for
 * itself. The addresses reach the tests and the processes they start through the environment:
 * `SOLOIST_TEST_REDIS` is a URL, `SOLOIST_TEST_REDIS_CLUSTER` is `host:port,host:port,host:port`, `SOLOIST_TEST_POSTGRES` and
 * `SOLOIST_TEST_PGBOUNCER` are URLs of one Postgres, directly and through a pooler.
 */
export default async function setup(): Promise<() => Promise<void>> {
  const [redis, cluster, postgres] = await Promise.all([startRedis(), startCluster(), startPostgres()])
  const pgbouncer = await startPgBouncer(postgres)
  process.env.SOLOIST_TEST_REDIS = redis.url
  process.env.SOLOIST_TEST_REDIS_CLUSTER = cluster.addresses
  process.env.SOLOIST_TEST_POSTGRES = postgres.url
  process.env.SOLOIST_TEST_PGBOUNCER = pgbouncer.url
  return async () => {
    await Promise.all([redis.stop(), cluster.stop(), pgbouncer.stop()])
    await postgres.stop()
  }
}
