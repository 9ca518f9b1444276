import { Cluster, Redis } from 'ioredis'
import { Cluster as Cluster5, Redis as Redis5 } from 'ioredis-5'
import { createClient } from 'redis'
import type { RedisClient } from 'soloist/redis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openLink } from '../../../dist/backends/redis/link/open.js'
import { type RedisCluster, startCluster } from '../../support/redis-cluster.js'
import { type RedisServer, startRedis } from '../../support/redis-server.js'

// What the backend needs of a link, beneath any lock.

let server: RedisServer
let cluster: RedisCluster
beforeAll(async () => {
  ;[server, cluster] = await Promise.all([startRedis(), startCluster()])
})
afterAll(() => Promise.all([server.stop(), cluster.stop()]))

const SCRIPT = "return {redis.call('incr', KEYS[1]), ARGV[1]}"

/** A command as it travels. */
function encoded(...words: string[]): string {
  return `*${words.length}\r\n${words.map(word => `$${word.length}\r\n${word}\r\n`).join('')}`
}

interface Opened {
  readonly target: string | RedisClient
  close(): unknown
}

const kinds: Record<string, () => Opened | Promise<Opened>> = {
  'a URL': () => ({ target: server.url, close: () => {} }),
  'a URL of one server of a cluster': () => ({ target: `redis://${cluster.addresses.split(',')[0]}`, close: () => {} }),
  ioredis: () => ofIoredis(new Redis(server.url, { keyPrefix: 'app:' })),
  'ioredis 5': () => ofIoredis(new Redis5(server.url)),
  'a Cluster of ioredis': () => ofIoredis(new Cluster(cluster.addresses.split(','))),
  'a Cluster of ioredis 5': () => ofIoredis(new Cluster5(cluster.addresses.split(','))),
  'node-redis': async () => {
    const client = await createClient({ url: server.url }).connect()
    return { target: client as unknown as RedisClient, close: () => client.destroy() }
  },
}

function ofIoredis(client: RedisClient & { disconnect(): void }): Opened {
  return { target: client, close: () => client.disconnect() }
}

describe.each(Object.entries(kinds))('through %s', (_kind, open) => {
  test('a command that is encoded already is sent to the server that has the key, as its arguments would be', async () => {
    const { target, close } = await open()
    const link = openLink(target)
    for (let i = 0; i < 10; i++) {
      const words = ['eval', SCRIPT, '1', `key ${i}`, 'said']
      expect(await link.send(`key ${i}`, words)).toEqual([1, 'said'])
      expect(await link.sendBytes(`key ${i}`, encoded(...words))).toEqual([2, 'said'])
      expect(await link.send(`key ${i}`, ['del', `key ${i}`])).toBe(1)
    }
    link.close()
    await expect(link.send('key', ['ping'])).rejects.toMatchObject({ code: 'CLOSED' })
    close()
  })

  test('what is sent in one turn is answered in its order, and an error concerns its own call', async () => {
    const { target, close } = await open()
    const link = openLink(target)
    const answers = await Promise.allSettled([
      link.send('a', ['set', 'a', '1']),
      link.send('a', ['lpush', 'a', '1']),
      link.send('a', ['incr', 'a']),
      link.send('a', ['del', 'a']),
    ])
    expect(answers).toMatchObject([
      { value: 'OK' },
      { status: 'rejected', reason: { message: expect.stringMatching(/^WRONGTYPE/) } },
      { value: 2 },
      { value: 1 },
    ])
    // Who logs the error logs neither a script nor a password.
    expect(answers[1]).not.toHaveProperty('reason.command')
    link.close()
    close()
  })

  test('every call under way fails when the link is closed', async () => {
    const { target, close } = await open()
    const link = openLink(target)
    const calls = Array.from({ length: 100 }, (_, i) => link.send(`${i}`, ['get', `${i}`]))
    const settled = Promise.allSettled(calls)
    link.close()
    for (const { status } of await settled) expect(status).toBe('rejected')
    close()
  })
})
