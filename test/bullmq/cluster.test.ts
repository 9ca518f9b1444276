import { Cluster } from 'ioredis'
import { connect } from 'soloist'
import { SingletonQueue, SingletonWorker } from 'soloist/bullmq'
import { redisBackend } from 'soloist/redis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RedisCluster, startCluster } from '../support/redis-cluster.js'
import { type Data, Recorder, type TestJob, until } from './support.js'

// A queue is in one slot, by its prefix; the locks of its jobs are in as many as they have names.

let cluster: RedisCluster
beforeAll(async () => {
  cluster = await startCluster()
})
afterAll(() => cluster.stop())

test('unique on a Redis Cluster, locks beside the queue', async () => {
  const nodes = cluster.addresses.split(',')
  const open = () => new Cluster(nodes, { redisOptions: { maxRetriesPerRequest: null } })
  const clients = [open(), open()] as const
  const name = 'work'
  const queue = new SingletonQueue<Data, number, string>(name, {
    connection: clients[0],
    prefix: '{work}',
    singleton: { jobs: { sync: { uniqueOn: ['key'] }, again: { uniqueOn: ['key'], onDuplicate: 'rerun' } } },
  })
  const solo = connect(redisBackend(clients[0]))
  const held = async () => {
    const names = []
    for await (const lock of solo.jobs.list()) names.push(lock.name)
    return names
  }
  const keys = Array.from({ length: 20 }, (_, key) => key)
  const first = await Promise.all(keys.map(key => queue.add('sync', { key, value: key })))
  const second = await Promise.all(keys.map(key => queue.add('sync', { key, value: 100 + key })))
  expect(second.map(({ id }) => id)).toEqual(first.map(({ id }) => id))
  expect(second.map(({ singleton }) => singleton?.status)).toEqual(keys.map(() => 'duplicate'))
  expect(await held()).toHaveLength(keys.length)

  const runs = new Recorder()
  runs.hold()
  const worker = new SingletonWorker<Data, number, string>(
    name,
    async (job, _token, signal) => await runs.run(job as TestJob, signal as AbortSignal),
    { connection: clients[1], prefix: '{work}', concurrency: 50 },
  )
  await queue.add('again', { key: 0, value: 200 })
  await runs.untilStarted(keys.length + 1)
  expect((await queue.add('sync', { key: 0, value: 300 })).singleton).toMatchObject({
    ...{ status: 'duplicate', id: first[0]?.id, state: 'running' },
  })
  expect((await queue.add('again', { key: 0, value: 201 })).singleton?.status).toBe('deferred')
  runs.letGo()
  await runs.untilStarted(keys.length + 2)
  expect(runs.started.toSorted((a, b) => a - b)).toEqual([...keys, 200, 201])
  await until(async () => (await held()).length === 0)
  await worker.close()
  await queue.close()
  await solo.close()
  for (const client of clients) client.disconnect()
})
