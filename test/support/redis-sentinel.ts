import { Redis } from 'ioredis'
import { type RedisServer, startRedis } from './redis-server.js'

const READY_MS = 30_000

/** A primary and its replica, watched by one real sentinel, which can move the role. */
export interface RedisSentinel {
  /** By which the sentinel knows the primary. */
  readonly name: string
  readonly sentinel: { readonly host: string; readonly port: number }
  /** The first primary, then its replica. */
  readonly nodes: readonly [RedisServer, RedisServer]
  /** Lets the sentinel move the role, and resolves when each of the two has that of the other. */
  failOver(): Promise<void>
  stop(): Promise<void>
}

/** @param password what both servers want to hear; the sentinel wants none */
export async function startSentinel(password: string): Promise<RedisSentinel> {
  const login = { password }
  const fast = `repl-diskless-sync-delay 0\nrequirepass ${password}\nmasterauth ${password}`
  const nodes = [await startRedis({ config: fast }), await startRedis({ config: fast })] as const
  const [primary, replica] = nodes.map(({ port }) => {
    const admin = new Redis(port, { ...login, maxRetriesPerRequest: null })
    admin.on('error', () => {})
    return admin
  }) as [Redis, Redis]
  let watching: RedisServer | null = null
  const stop = async () => {
    for (const admin of [primary, replica]) admin.disconnect()
    await watching?.stop()
    await Promise.all(nodes.map(node => node.stop()))
  }
  try {
    await replica.replicaof('127.0.0.1', nodes[0].port)
    await until('the replica follows', async () => (await replica.info('replication')).includes('link_status:up'))
    const config = [
      `sentinel monitor primary 127.0.0.1 ${nodes[0].port} 1`,
      'sentinel down-after-milliseconds primary 5000',
      'sentinel failover-timeout primary 5000',
      `sentinel auth-pass primary ${password}`,
    ]
    watching = await startRedis({ sentinel: true, config: config.join('\n') })
    const sentinel = new Redis(watching.port, {
      enableReadyCheck: false,
      maxRetriesPerRequest: null,
      retryStrategy: () => 50,
    })
    sentinel.on('error', () => {})
    const knows = async () => String(await sentinel.call('SENTINEL', 'REPLICAS', 'primary')).includes('link-status,ok')
    try {
      await until('the sentinel knows the replica', () => knows().catch(() => false))
    } finally {
      sentinel.disconnect()
    }
  } catch (error) {
    await stop()
    throw error
  }
  const { host, port } = watching
  return {
    name: 'primary',
    sentinel: { host, port },
    nodes,
    async failOver() {
      // What the replica has not received is lost with the role; WAIT tells of the writes of its own connection.
      await primary.set('written', '1')
      if ((await primary.wait(1, READY_MS)) !== 1) throw new Error('the replica does not follow')
      const asked = new Redis(port, { enableReadyCheck: false })
      await asked.call('SENTINEL', 'FAILOVER', 'primary')
      asked.disconnect()
      await until('the replica is the primary', async () => (await replica.role())[0] === 'master')
      // Until then it would take writes that are lost.
      await until('the primary is a replica', async () => (await primary.role())[0] === 'slave')
    },
    stop,
  }
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + READY_MS
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`after ${READY_MS} ms it is not so: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}
