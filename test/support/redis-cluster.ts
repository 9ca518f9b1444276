import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { type RedisServer, startRedis } from './redis-server.js'

const SLOTS = 16_384
const PRIMARIES = 3
const BUS_OFFSET = 10_000
const READY_MS = 30_000

export interface ClusterOptions {
  /** Whether each primary has a replica; default `false`. */
  readonly replicas?: boolean
  /** After how long a silent node is given up, in milliseconds; default 20,000, so that a busy machine loses none. */
  readonly nodeTimeoutMs?: number
  /** Command line options of every node. */
  readonly args?: readonly string[]
}

/** A real Redis Cluster of three primaries. */
export interface RedisCluster {
  /** The primaries, then the replica of each in the same order. */
  readonly nodes: readonly RedisServer[]
  /** All of them, as `host:port,host:port,host:port`. */
  readonly addresses: string
  stop(): Promise<void>
}

/** Starts the nodes, gives each a third of the slots and waits until all of them serve. They end with this process. */
export async function startCluster(options: ClusterOptions = {}): Promise<RedisCluster> {
  const { replicas = false, nodeTimeoutMs = 20_000, args = [] } = options
  const config = [
    'cluster-enabled yes',
    `cluster-node-timeout ${nodeTimeoutMs}`,
    'cluster-announce-ip 127.0.0.1',
    // A replica stands for election however old its data is, and is sent what is new without delay.
    'cluster-replica-validity-factor 0',
    'repl-diskless-sync-delay 0',
  ].join('\n')
  const count = replicas ? 2 * PRIMARIES : PRIMARIES
  const started = await Promise.allSettled(Array.from({ length: count }, () => startRedis({ config, args })))
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
  const primaries = clients.slice(0, PRIMARIES)
  try {
    const share = Math.ceil(SLOTS / PRIMARIES)
    await Promise.all(
      primaries.map(async (client, index) => {
        const last = Math.min((index + 1) * share, SLOTS) - 1
        // Distinct epochs spare the nodes from settling a conflict between them.
        await client.call('CLUSTER', 'SET-CONFIG-EPOCH', index + 1)
        await client.call('CLUSTER', 'ADDSLOTSRANGE', index * share, last)
      }),
    )
    for (const { host, port } of nodes.slice(1)) {
      await clients[0]?.call('CLUSTER', 'MEET', host, port, port + BUS_OFFSET)
    }
    await Promise.all(clients.map(client => serves(client, clients.length)))
    await Promise.all(
      clients.slice(PRIMARIES).map(async (replica, index) => {
        await replica.call('CLUSTER', 'REPLICATE', String(await primaries[index]?.call('CLUSTER', 'MYID')))
        await until('the replica follows', async () => (await replica.info('replication')).includes('link_status:up'))
      }),
    )
    // A replica can be elected once every primary knows it as one.
    await Promise.all(
      clients.map(client => until('all know the replicas', () => knows(client, nodes.length - PRIMARIES))),
    )
  } finally {
    for (const client of clients) client.disconnect()
  }
}

async function knows(client: Redis, replicas: number): Promise<boolean> {
  return String(await client.call('CLUSTER', 'NODES')).split(/\bslave\b/).length - 1 === replicas
}

/** Resolves once this node knows all others and finds every slot served. */
async function serves(client: Redis, nodes: number): Promise<void> {
  const ready = ['cluster_state:ok', `cluster_known_nodes:${nodes}`, `cluster_slots_ok:${SLOTS}`]
  await until('the cluster serves', async () => {
    const info = String(await client.call('CLUSTER', 'INFO'))
    return ready.every(line => info.includes(line))
  })
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + READY_MS
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`after ${READY_MS} ms it is not so: ${what}`)
    await sleep(25)
  }
}
