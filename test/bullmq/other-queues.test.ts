import { once } from 'node:events'
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { connect } from 'soloist'
import { SingletonFlowProducer, SingletonQueue } from 'soloist/bullmq'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../support/redis-server.js'
import { numbers, until } from './support.js'

// What looks for jobs in other queues than its own has one connection for all of them, and none once it is closed.

const QUEUES = 300

let server: RedisServer
let admin: Redis
beforeAll(async () => {
  server = await startRedis()
  admin = new Redis(server.url)
})
afterAll(async () => {
  admin.disconnect()
  await server.stop()
})

const options = () => ({ host: server.host, port: server.port })
const singleton = { jobs: { sync: {} } }

/** How many clients the server has beside the one that asks. */
async function clients(): Promise<number> {
  return (
    String(await admin.client('LIST'))
      .trim()
      .split('\n').length - 1
  )
}

const connections = {
  options: () => ({ connection: options(), end: async () => {} }),
  'a client of ioredis': () => {
    const client = new Redis(server.url, { maxRetriesPerRequest: null })
    const end = async () => {
      client.disconnect()
      await once(client, 'end')
    }
    return { connection: client, end }
  },
}

describe.each(Object.keys(connections) as (keyof typeof connections)[])('connection: %s', kind => {
  test.each(['one step', 'two steps'])('a flow producer over hundreds of queues, lock and job in %s', async steps => {
    const { connection, end } = connections[kind]()
    const solo = steps === 'two steps' ? connect(server.url) : null
    const where = solo === null ? {} : { solo }
    const name = (i: number) => `${kind.length}-${steps.length}-${i}`
    const flows = new SingletonFlowProducer({ connection, singleton: { ...singleton, ...where } })
    const all = () => numbers(QUEUES).map(i => ({ name: 'sync', queueName: name(i), data: { of: name(i) } }))
    const first = await flows.addBulk(all())
    const before = await clients()
    const met = await flows.addBulk(all())
    expect(met.map(({ job }) => job.id)).toEqual(first.map(({ job }) => job.id))
    expect((await clients()) - before).toBeLessThanOrEqual(1)

    // Each is a job of its own queue, with all that a job does.
    const [one, two] = met.map(({ job }) => job)
    expect([one?.queueName, two?.queueName]).toEqual([name(0), name(1)])
    expect(await one?.getState()).toBe('waiting')
    await one?.log('seen')
    await one?.updateData({ of: 'another' })
    await two?.remove()
    const queue = new Queue(name(0), { connection: options() })
    expect((await queue.getJobLogs(one?.id as string)).logs).toEqual(['seen'])
    expect((await queue.getJob(one?.id as string))?.data).toEqual({ of: 'another' })
    await queue.close()
    const gone = new Queue(name(1), { connection: options() })
    expect(await gone.getJob(two?.id as string)).toBeUndefined()
    await gone.close()

    await flows.close()
    await solo?.close()
    await end()
    await until(async () => (await clients()) === 0)
  })

  test.each(['one step', 'two steps'])('a queue that meets jobs of others, lock and job in %s', async steps => {
    const { connection, end } = connections[kind]()
    const solo = steps === 'two steps' ? connect(server.url) : null
    const jobs = { met: { scope: 'name' } } as const
    const settings = { jobs, ...(solo === null ? {} : { solo }) }
    const name = (i: number) => `met-${kind.length}-${steps.length}-${i}`
    const data = (i: number) => ({ of: name(i) })
    const flows = new SingletonFlowProducer({ connection, singleton: settings })
    const live = await flows.addBulk(numbers(QUEUES).map(i => ({ name: 'met', queueName: name(i), data: data(i) })))
    await flows.close()
    const queue = new SingletonQueue(name(QUEUES), { connection, singleton: settings })
    await queue.add('other', {})
    const before = await clients()
    const met = await queue.addBulk(numbers(QUEUES).map(i => ({ name: 'met', data: data(i) })))
    expect(met.map(job => [job.queueName, job.id])).toEqual(live.map(({ job }) => [job.queueName, job.id]))
    expect((await clients()) - before).toBeLessThanOrEqual(1)
    await queue.close()
    await solo?.close()
    await end()
    await until(async () => (await clients()) === 0)
  })
})
