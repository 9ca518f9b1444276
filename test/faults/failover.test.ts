import { once } from 'node:events'
import { Cluster, Redis } from 'ioredis'
import { createCluster } from 'redis'
import { connect, type Soloist } from 'soloist'
import { redisBackend } from 'soloist/redis'
import { describe, expect, test, vi } from 'vitest'
import { type RedisCluster, startCluster } from '../support/redis-cluster.js'
import type { RedisServer } from '../support/redis-server.js'

// A Redis Cluster whose primaries each have a replica. Replication is asynchronous: what a replica has received survives
// the loss of its primary, and what it has not is lost, which no lock on Redis can change.

const TTL_MS = 60_000
/** A dead primary is replaced soon after; a busy machine that holds a node up for less loses none. */
const NODE_TIMEOUT_MS = 4_000
const PATIENCE = { timeout: 30_000 }

class Stage implements AsyncDisposable {
  readonly cluster: RedisCluster
  readonly #closers: (() => unknown)[] = []
  readonly #nodes = new Map<RedisServer, Node>()

  private constructor(cluster: RedisCluster) {
    this.cluster = cluster
  }

  static async open(): Promise<Stage> {
    return new Stage(await startCluster({ replicas: true, nodeTimeoutMs: NODE_TIMEOUT_MS }))
  }

  throughIoredis(): Soloist {
    const client = new Cluster(this.#addresses, { clusterRetryStrategy: () => 100 })
    this.#closers.push(() => client.disconnect())
    return this.#track(connect(redisBackend(client)))
  }

  async throughNodeRedis(): Promise<Soloist> {
    const client = createCluster({ rootNodes: this.#addresses.map(url => ({ url })) })
    // The loss of a node is what the tests are about.
    client.on('error', () => {})
    await client.connect()
    this.#closers.push(() => client.destroy())
    return this.#track(connect(redisBackend(client)))
  }

  /** The primary of a lock's slot, its replica, and a way to ask each. */
  async nodesOf(lock: string): Promise<{ primary: Node; replica: Node }> {
    const nodes = this.cluster.nodes.map(server => this.#node(server))
    const owners = await Promise.all(
      nodes.slice(0, nodes.length / 2).map(async ({ admin }) => {
        // Whoever does not serve the slot says so.
        return await admin.get(`soloist:${lock}`).then(
          () => true,
          () => false,
        )
      }),
    )
    const index = owners.indexOf(true)
    return { primary: nodes[index] as Node, replica: nodes[index + nodes.length / 2] as Node }
  }

  /**
   * Whether all nodes know that this one has the lock's slot. One that has heard that a primary became a replica, and not
   * yet of what, knows of no owner and answers CLUSTERDOWN until it has.
   */
  async agreesOn(lock: string, { admin, server }: Node): Promise<boolean> {
    const slot = await admin.cluster('KEYSLOT', `soloist:${lock}`)
    const tables = await Promise.all(this.cluster.nodes.map(node => this.#node(node).admin.cluster('SLOTS')))
    return tables.every(table =>
      table.some(([first, last, owner]) => first <= slot && slot <= last && owner?.[1] === server.port),
    )
  }

  get #addresses(): string[] {
    return this.cluster.addresses.split(',').map(address => `redis://${address}`)
  }

  #node(server: RedisServer): Node {
    const known = this.#nodes.get(server)
    if (known !== undefined) return known
    const admin = new Redis(server.url, { maxRetriesPerRequest: null })
    admin.on('error', () => {})
    this.#closers.push(() => admin.disconnect())
    const node = { server, admin }
    this.#nodes.set(server, node)
    return node
  }

  #track(solo: Soloist): Soloist {
    this.#closers.push(() => solo.close())
    return solo
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const close of this.#closers.reverse()) await close()
    await this.cluster.stop()
  }
}

interface Node {
  readonly server: RedisServer
  readonly admin: Redis
}

const isPrimary = async ({ admin }: Node) => (await admin.role())[0] === 'master'

const libraries: Record<string, (stage: Stage) => Soloist | Promise<Soloist>> = {
  ioredis: stage => stage.throughIoredis(),
  'node-redis': stage => stage.throughNodeRedis(),
}

vi.setConfig({ testTimeout: 90_000 })

describe.each(Object.entries(libraries))('through %s', (_library, open) => {
  test('a failover that was planned loses no lock and no place in the queue', async () => {
    await using stage = await Stage.open()
    const [holder, waiter] = [await open(stage), await open(stage)]
    const lease = await holder.lock('lock', { ttlMs: TTL_MS })
    const waiting = waiter.lock('lock', { ttlMs: TTL_MS })
    await once(waiter, 'waiting')
    const { replica } = await stage.nodesOf('lock')
    await replica.admin.call('CLUSTER', 'FAILOVER')
    await expect.poll(() => stage.agreesOn('lock', replica), PATIENCE).toBe(true)
    await lease.renew()
    expect(await replica.admin.get('soloist:lock')).toBe(lease.owner)
    await lease.release()
    const next = await waiting
    expect(next.fence).toBeGreaterThan(lease.fence)
    expect(await replica.admin.get('soloist:lock')).toBe(next.owner)
  })

  test('a primary that dies loses no lock its replica had received', async () => {
    await using stage = await Stage.open()
    const [holder, waiter] = [await open(stage), await open(stage)]
    const lease = await holder.lock('lock', { ttlMs: TTL_MS })
    const waiting = waiter.lock('lock', { ttlMs: TTL_MS })
    await once(waiter, 'waiting')
    const { primary, replica } = await stage.nodesOf('lock')
    expect(await primary.admin.wait(1, 10_000)).toBe(1)
    await primary.server.kill()
    await expect.poll(() => isPrimary(replica), PATIENCE).toBe(true)
    await expect.poll(() => lease.renew(), PATIENCE).toBe(undefined)
    expect(lease.signal.aborted).toBe(false)
    expect(await replica.admin.get('soloist:lock')).toBe(lease.owner)
    await lease.release()
    const next = await waiting
    expect(next.fence).toBeGreaterThan(lease.fence)
    expect(await replica.admin.get('soloist:lock')).toBe(next.owner)
  })
})

test('a grant that the replica had not received is lost with its primary: the next has a higher fence, and its owner is told', async () => {
  await using stage = await Stage.open()
  const [first, second] = [stage.throughIoredis(), stage.throughIoredis()]
  await (await first.lock('lock')).release()
  const { primary, replica } = await stage.nodesOf('lock')
  // It cannot come back for what it misses.
  process.kill(replica.server.pid, 'SIGSTOP')
  await primary.admin.call('CLIENT', 'KILL', 'TYPE', 'replica')
  const lease = await first.lock('lock', { ttlMs: TTL_MS })
  await primary.server.kill()
  process.kill(replica.server.pid, 'SIGCONT')
  await expect.poll(() => isPrimary(replica), PATIENCE).toBe(true)
  expect(await replica.admin.get('soloist:lock')).toBe(null)
  const lost = once(lease.signal, 'abort')
  const next = await second.lock('lock', { ttlMs: TTL_MS })
  expect(next.fence).toBeGreaterThan(lease.fence)
  await expect.poll(() => lease.renew().then(null, error => error.code), PATIENCE).toBe('LEASE_LOST')
  await lost
  expect(await replica.admin.get('soloist:lock')).toBe(next.owner)
  next.assertValid()
})
