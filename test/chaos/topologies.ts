import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { startCluster } from '../support/redis-cluster.js'
import { startSentinel } from '../support/redis-sentinel.js'
import type { RedisServer } from '../support/redis-server.js'

// Stores that are several servers, with the faults that only they have.

/** What came of a fault. */
export interface Made {
  /** How often it showed that it was there. */
  readonly hits: number
  /** Whether the store may have lost its locks by it. */
  readonly loses?: boolean
}

export interface Topology {
  /** By which a client reaches all of it. */
  readonly url: string
  /** A client of each of its servers that has data. */
  readonly admins: readonly Redis[]
  /** One after the other, whoever calls. */
  make(kind: 'move-slot' | 'failover' | 'restart', downMs: number): Promise<Made>
  stop(): Promise<void>
}

export type TopologyStore = 'redis-cluster' | 'redis-sentinel'

/** The locks of a run whose slots move. */
const LOCKS = ['mutex a', 'mutex b', 'semaphore', 'rw', 'rw 2']
/** A sentinel refuses a failover that follows another sooner. */
const LONGEST_MS = 30_000

export function startTopology(store: TopologyStore): Promise<Topology> {
  return store === 'redis-cluster' ? cluster() : sentinel()
}

/** Three primaries that write their log at once. */
async function cluster(): Promise<Topology> {
  const started = await startCluster({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  const nodes = await Promise.all(started.nodes.map(server => nodeOf(server)))
  const ids = await Promise.all(nodes.map(async ({ admin }) => String(await admin.call('CLUSTER', 'MYID'))))
  let [moved, restarted] = [0, 0]

  async function moveSlot(): Promise<Made> {
    const lock = LOCKS[moved++ % LOCKS.length]
    const slot = Number(await (nodes[0] as Node).admin.cluster('KEYSLOT', `soloist:${lock}`))
    const from = await ownerOf(nodes, slot)
    const to = (from + 1) % nodes.length
    const [source, target] = [nodes[from] as Node, nodes[to] as Node]
    await target.admin.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', String(ids[from]))
    await source.admin.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', String(ids[to]))
    let hits = 0
    for (;;) {
      const keys = (await source.admin.call('CLUSTER', 'GETKEYSINSLOT', slot, 10)) as string[]
      if (keys.length === 0) break
      const { host, port } = target.server
      await source.admin.call('MIGRATE', host, port, '', 0, 5_000, 'KEYS', ...keys)
      hits += keys.length
    }
    // The new owner first, so that there always is one.
    for (const { admin } of [target, source, ...nodes]) {
      await admin.call('CLUSTER', 'SETSLOT', slot, 'NODE', String(ids[to]))
    }
    return { hits: Math.max(hits, 1) }
  }

  return {
    url: (started.nodes[0] as RedisServer).url,
    admins: nodes.map(({ admin }) => admin),
    make: oneByOne(async (kind, downMs) => {
      if (kind === 'move-slot') return await moveSlot()
      const { server } = nodes[restarted++ % nodes.length] as Node
      await server.kill()
      await sleep(downMs)
      await server.restart()
      // For some seconds it takes nothing, and has no slot moved.
      const deadline = performance.now() + LONGEST_MS
      const serves = async ({ admin }: Node) => String(await admin.call('CLUSTER', 'INFO')).includes('cluster_state:ok')
      await until(deadline, async () => (await Promise.all(nodes.map(serves))).every(Boolean))
      return { hits: 1 }
    }),
    async stop() {
      for (const { admin } of nodes) admin.disconnect()
      await started.stop()
    },
  }
}

/** A primary and a replica, which a sentinel makes change their roles: what was not replicated by then is lost. */
async function sentinel(): Promise<Topology> {
  const password = 'secret'
  const started = await startSentinel(password)
  const { host, port } = started.sentinel
  const asked = new Redis({ host, port, enableReadyCheck: false, maxRetriesPerRequest: null })
  asked.on('error', () => {})
  const primary = async () =>
    Number(((await asked.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', started.name)) as string[])[1])
  const nodes = await Promise.all(started.nodes.map(server => nodeOf(server, password)))
  const failOver = async (): Promise<Made> => {
    const before = await primary()
    const deadline = performance.now() + LONGEST_MS
    // It is refused while the last one is not over, or lately was.
    await until(deadline, () =>
      asked.call('SENTINEL', 'FAILOVER', started.name).then(
        () => true,
        () => false,
      ),
    )
    await until(deadline, async () => (await primary()) !== before)
    // The sentinel does so, too, ten seconds later. Until then both take writes.
    await nodes.find(({ server }) => server.port === before)?.admin.replicaof(host, await primary())
    return { hits: 1, loses: true }
  }
  return {
    url: `redis+sentinel://:${password}@${host}:${port}/${started.name}`,
    admins: nodes.map(({ admin }) => admin),
    make: oneByOne(failOver),
    async stop() {
      for (const { admin } of nodes) admin.disconnect()
      asked.disconnect()
      await started.stop()
    },
  }
}

interface Node {
  readonly server: RedisServer
  readonly admin: Redis
}

async function nodeOf(server: RedisServer, password = ''): Promise<Node> {
  const { host, port } = server
  const patient = { enableReadyCheck: false, maxRetriesPerRequest: null, retryStrategy: () => 20 }
  const admin = new Redis({ host, port, ...patient, ...(password === '' ? {} : { password }) })
  // It is started again now and then.
  admin.on('error', () => {})
  return { server, admin }
}

async function ownerOf(nodes: readonly Node[], slot: number): Promise<number> {
  const table = await (nodes[0] as Node).admin.cluster('SLOTS')
  const port = table.find(([first, last]) => first <= slot && slot <= last)?.[2]?.[1]
  return nodes.findIndex(({ server }) => server.port === port)
}

function oneByOne(make: Topology['make']): Topology['make'] {
  let last: Promise<unknown> = Promise.resolve()
  return (kind, downMs) => {
    const made = last.then(() => make(kind, downMs))
    last = made.catch(() => {})
    return made
  }
}

async function until(deadline: number, holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`within ${LONGEST_MS} ms the fault could not be made`)
    await sleep(50)
  }
}
