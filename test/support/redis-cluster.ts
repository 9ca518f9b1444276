import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { type RedisServer, startRedis } from './redis-server.js'

const SLOTS = 16_384
const PRIMARIES = 3
const BUS_OFFSET = 10_000
const READY_MS = 30_000

/** A real Redis Cluster of three primaries without replicas. */
export interface RedisCluster {
  readonly nodes: readonly RedisServer[]
  /** All of them, as `host:port,host:port,host:port`. */
  readonly addresses: string
  stop(): Promise<void>
}

/** Starts the nodes, gives each a third of the slots and waits until all of them serve. They end with this process. */
export async function startCluster(): Promise<RedisCluster> {
  // A node that a busy machine holds up for some seconds is not given up by the others.
  const config = ['cluster-enabled yes', 'cluster-node-timeout 20000', 'cluster-announce-ip 127.0.0.1'].join('\n')
  const started = await Promise.allSettled(Array.from({ length: PRIMARIES }, () => startRedis({ config })))
  const nodes = started.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []))
  const stop = async () => {
    await Promise.all(nodes.map(node => node.stop()))
  }
  try {
    const failed = started.find(result => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    await join(nodes)
  } catch (error) {
    await stop()
    throw error
  }
  return { nodes, addresses: nodes.map(({ host, port }) => `${host}:${port}`).join(), stop }
}

async function join(nodes: readonly RedisServer[]): Promise<void> {
  const clients = nodes.map(({ host, port }) => new Redis({ host, port, enableReadyCheck: false }))
  try {
    const share = Math.ceil(SLOTS / nodes.length)
    await Promise.all(
      clients.map(async (client, index) => {
        const last = Math.min((index + 1) * share, SLOTS) - 1
        // Distinct epochs spare the nodes from settling a conflict between them.
        await client.call('CLUSTER', 'SET-CONFIG-EPOCH', index + 1)
        await client.call('CLUSTER', 'ADDSLOTSRANGE', index * share, last)
      }),
    )
    for (const { host, port } of nodes.slice(1)) {
      await clients[0]?.call('CLUSTER', 'MEET', host, port, port + BUS_OFFSET)
    }
    await Promise.all(clients.map(serves))
  } finally {
    for (const client of clients) client.disconnect()
  }
}

/** Resolves once this node knows all others and finds every slot served. */
async function serves(client: Redis): Promise<void> {
  const deadline = performance.now() + READY_MS
  for (;;) {
    const info = String(await client.call('CLUSTER', 'INFO'))
    const ready = ['cluster_state:ok', `cluster_known_nodes:${PRIMARIES}`, `cluster_slots_ok:${SLOTS}`]
    if (ready.every(line => info.includes(line))) return
    if (performance.now() > deadline) throw new Error(`the cluster is not ready after ${READY_MS} ms:\n${info}`)
    await sleep(25)
  }
}
