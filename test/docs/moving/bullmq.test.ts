// Rows of docs/moving/bullmq-deduplication.md that its programs do not show.
import { Queue, QueueEvents } from 'bullmq'
import { SingletonQueue, SingletonWorker } from 'soloist/bullmq'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../../support/redis-server.js'

let server: RedisServer
let connection: { port: number }
beforeAll(async () => {
  server = await startRedis()
  connection = { port: server.port }
})
afterAll(() => server.stop())

test('debounce: the job that waits is replaced, and its delay begins anew', async () => {
  const singleton = { jobs: { save: { mode: 'untilExecuting', onDuplicate: 'replace' } } } as const
  const queue = new SingletonQueue('debounce', { connection, singleton })
  const plain = new Queue('plain', { connection })
  const debounced = { deduplication: { id: 'save', ttl: 60_000, extend: true, replace: true }, delay: 60_000 }
  await plain.add('save', {}, debounced)
  const theirs = await plain.add('save', {}, debounced)
  await queue.add('save', {}, { delay: 60_000 })
  const ours = await queue.add('save', {}, { delay: 60_000 })
  expect(ours.singleton?.status).toBe('replaced')
  expect((await queue.getDelayed()).map(job => job.id)).toEqual([ours.id])
  expect((await plain.getDelayed()).map(job => job.id)).toEqual([theirs.id])
  await queue.close()
  await plain.close()
})

test('throttle: within the period a trigger is a duplicate, also when the job has ended', async () => {
  const singleton = { jobs: { mail: { mode: 'untilExpired', expiryMs: 60_000 } } } as const
  const queue = new SingletonQueue('throttle', { connection, singleton })
  const events = new QueueEvents('throttle', { connection })
  await events.waitUntilReady()
  const first = await queue.add('mail', {})
  const worker = new SingletonWorker('throttle', async () => {}, { connection })
  await first.waitUntilFinished(events)
  expect((await queue.add('mail', {})).singleton).toMatchObject({ status: 'duplicate', id: first.id })
  await worker.close()
  await events.close()
  await queue.close()
})

test("a SingletonWorker runs a plain queue's jobs, and ends what keeps their ids taken", async () => {
  const plain = new Queue('workers-first', { connection })
  const events = new QueueEvents('workers-first', { connection })
  await events.waitUntilReady()
  const deduplication = { id: 'account:7' }
  const job = await plain.add('account', { id: 7 }, { deduplication })
  const worker = new SingletonWorker('workers-first', async ({ data }) => data.id, { connection })
  expect(await job.waitUntilFinished(events)).toBe(7)
  expect((await plain.add('account', { id: 7 }, { deduplication })).id).not.toBe(job.id)
  await worker.close()
  await events.close()
  await plain.close()
})
