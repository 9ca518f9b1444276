// @ts-nocheck: what it imports is only installed when the benchmark runs.
// The other libraries, each with the defaults its users have; only their patience is raised where it would end a wait.
import { Redlock as SesamecareRedlock } from '@sesamecare-oss/redlock'
import { Verrou } from '@verrou/core'
import { redisStore } from '@verrou/core/drivers/redis'
import { Redis } from 'ioredis'
import { Mutex } from 'redis-semaphore'
import redlock from 'redlock-5'
import { createLock, IoredisAdapter } from 'redlock-universal'

/** @typedef {import('../contender.js').Contender} Contender */

const TTL_MS = 30_000
const FOREVER = 1_000_000_000
/** Node gives the class itself or, under its interop for CommonJS, a module that has it as `default`. */
const Redlock = /** @type {typeof redlock} */ (/** @type {any} */ (redlock).default ?? redlock)

/** @type {Record<string, (url: string) => Contender>} */
export const peers = {
  redlock(url) {
    const client = new Redis(url)
    const locks = new Redlock([client], { retryCount: FOREVER })
    return {
      take: async lock => await locks.acquire([lock], TTL_MS),
      free: lock => lock.release(),
      close: async () => client.disconnect(),
    }
  },
  '@sesamecare-oss/redlock'(url) {
    const client = new Redis(url)
    const locks = new SesamecareRedlock([client], { retryCount: FOREVER })
    return {
      take: async lock => await locks.acquire([lock], TTL_MS),
      free: lock => lock.release(),
      close: async () => client.disconnect(),
    }
  },
  'redis-semaphore'(url) {
    const client = new Redis(url)
    return {
      take: async lock => {
        const mutex = new Mutex(client, lock, { lockTimeout: TTL_MS, acquireTimeout: FOREVER })
        await mutex.acquire()
        return mutex
      },
      free: lock => lock.release(),
      close: async () => client.disconnect(),
    }
  },
  'redlock-universal'(url) {
    const client = new Redis(url)
    const adapter = new IoredisAdapter(client)
    return {
      take: async key => {
        const lock = createLock({ adapter, key, ttl: TTL_MS, retryAttempts: FOREVER })
        return { lock, handle: await lock.acquire() }
      },
      free: ({ lock, handle }) => lock.release(handle),
      close: async () => client.disconnect(),
    }
  },
  '@verrou/core'(url) {
    const client = new Redis(url)
    const verrou = new Verrou({ default: 'redis', stores: { redis: { driver: redisStore({ connection: client }) } } })
    return {
      take: async name => {
        const lock = verrou.createLock(name, TTL_MS)
        await lock.acquire()
        return lock
      },
      free: lock => lock.release(),
      close: async () => client.disconnect(),
    }
  },
}
