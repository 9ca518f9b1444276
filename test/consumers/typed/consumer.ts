// Uses each subpath as a TypeScript project does, holds locks on clients of the project, and runs a job. Prints as JSON who
// owned what. It is compiled as each kind of module.
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { type Backend, connect, type Lease, LockTimeoutError, MemoryStore, memoryBackend, SoloistError } from 'soloist'
import {
  SingletonAdder,
  SingletonFlowProducer,
  type SingletonJobOptions,
  SingletonQueue,
  SingletonWorker,
} from 'soloist/bullmq'
import { celeryLockKey } from 'soloist/celery'
import { checkHistory, type OpenStore } from 'soloist/conformance'
import { type CronOptions, oncePerTick } from 'soloist/cron'
import type { LockedDecorator, SoloistModuleOptions } from 'soloist/nest'
import { type RedisBackendOptions, type RedisClient, redisBackend } from 'soloist/redis'
import { type SqliteBackendOptions, sqliteBackend } from 'soloist/sqlite'

interface Account {
  readonly accountId: number
}

const url = String(process.env.REDIS_URL)
const prefix = String(process.env.PREFIX)
const { hostname: host, port } = new URL(url)
const connection = { host, port: Number(port) }
const options: RedisBackendOptions = { prefix }
const sqlite: SqliteBackendOptions = { prefix }
export const nest: SoloistModuleOptions = { store: url, prefix, drainMs: 1_000 }
export type ById = LockedDecorator<[id: string]>

async function ownedBy(backend: Backend): Promise<readonly (string | undefined)[]> {
  const solo = connect(backend)
  const lease: Lease = await solo.lock('report', { ttlMs: 30_000, waitMs: 5_000 })
  const state = await solo.inspect('report')
  const refused: unknown = await solo.lock('report', { waitMs: 0 }).catch((error: unknown) => error)
  if (!(refused instanceof LockTimeoutError) || !(refused instanceof SoloistError)) throw refused
  await lease.release()
  await solo.close()
  return [lease.owner, state?.holders[0]?.owner, refused.holder ?? undefined]
}

async function runOnce(): Promise<readonly (string | number | undefined)[]> {
  const job: SingletonJobOptions<Account> = { uniqueOn: ['accountId'], onDuplicate: 'join' }
  const singleton = { prefix, jobs: { account: job } }
  const queue = new SingletonQueue<Account, number>('sync', { connection, prefix: `${prefix}bull`, singleton })
  const first = await queue.add('account', { accountId: 7 })
  const again = await queue.add('account', { accountId: 7 })
  const worker = new SingletonWorker<Account, number>('sync', async ({ data }) => data.accountId, {
    connection,
    prefix: `${prefix}bull`,
    singleton: { prefix },
  })
  const result = await new Promise<number>((resolve, reject) => {
    worker.on('completed', (_job, value) => resolve(value))
    worker.on('failed', (_job, error) => reject(error))
  })
  await worker.close()
  await queue.close()
  return [first.singleton?.status, again.singleton?.status, again.id === first.id ? result : undefined]
}

async function main(): Promise<void> {
  const ioredis = new Redis(url)
  const nodeRedis = createClient({ url })
  await nodeRedis.connect()
  const clients: RedisClient[] = [ioredis, nodeRedis]
  const owners = [
    await ownedBy(memoryBackend({ store: new MemoryStore() })),
    await ownedBy(sqliteBackend('locks.db', sqlite)),
  ]
  for (const client of clients) owners.push(await ownedBy(redisBackend(client, options)))
  owners.push(await ownedBy(redisBackend(url, options)))
  console.log(JSON.stringify({ owners, job: await runOnce() }))
  ioredis.disconnect()
  nodeRedis.destroy()
}

main()

// @ts-expect-error: a wait has its unit in its name
export const misspelt = () => connect('memory:').lock('report', { wait: 5 })
// @ts-expect-error: the data has no such field
export const unknownField: SingletonJobOptions<Account> = { uniqueOn: ['account'] }
export const others: [
  typeof SingletonAdder,
  typeof SingletonFlowProducer,
  typeof celeryLockKey,
  typeof checkHistory,
  typeof oncePerTick,
  OpenStore?,
  CronOptions?,
] = [SingletonAdder, SingletonFlowProducer, celeryLockKey, checkHistory, oncePerTick]
