// @ts-nocheck: what it imports is only installed when the benchmark runs.
// How each of the other libraries holds a lock for a section of work, renewed, as its own pages show it. Each is told the same ttl and
// how long to wait; everything else is its default.
import { Redlock as SesamecareRedlock } from '@sesamecare-oss/redlock'
import { Verrou } from '@verrou/core'
import { redisStore } from '@verrou/core/drivers/redis'
import { Redis } from 'ioredis'
import { Mutex } from 'redis-semaphore'
import redlock from 'redlock-5'
import { createLock, IoredisAdapter } from 'redlock-universal'

/** @typedef {import('../faults/holders.js').Holder} Holder */

/** Node gives the class itself or, under its interop for CommonJS, a module that has it as `default`. */
const Redlock = redlock.default ?? redlock
const RETRY_MS = 50

/** A client as it is by default. What its connection meets with is told by its calls. */
function clientOf(url) {
  const client = new Redis(url)
  client.on('error', () => {})
  return client
}

function ofRedlock(Class, url, { ttlMs, waitMs }) {
  const client = clientOf(url)
  const settings = { retryCount: Math.round(waitMs / RETRY_MS), retryDelay: RETRY_MS, retryJitter: 10 }
  const locks = new Class([client], { ...settings, automaticExtensionThreshold: ttlMs / 2 })
  // Without a listener an 'error' would end the process.
  locks.on('error', () => {})
  return {
    hold: (lock, section) => locks.using([lock], ttlMs, signal => section(() => !signal.aborted)),
    close: async () => client.disconnect(),
  }
}

/** @type {Record<string, (url: string, terms: { ttlMs: number, waitMs: number }) => Holder>} */
export const peers = {
  redlock: (url, terms) => ofRedlock(Redlock, url, terms),
  '@sesamecare-oss/redlock': (url, terms) => ofRedlock(SesamecareRedlock, url, terms),
  'redis-semaphore'(url, { ttlMs, waitMs }) {
    const client = clientOf(url)
    return {
      async hold(lock, section) {
        const onLockLost = () => {}
        const mutex = new Mutex(client, lock, { lockTimeout: ttlMs, acquireTimeout: waitMs, onLockLost })
        await mutex.acquire()
        try {
          await section(() => mutex.isAcquired)
        } finally {
          await mutex.release()
        }
      },
      close: async () => client.disconnect(),
    }
  },
  'redlock-universal'(url, { ttlMs, waitMs }) {
    const client = clientOf(url)
    const adapter = new IoredisAdapter(client)
    const retry = { retryAttempts: Math.round(waitMs / RETRY_MS), retryDelay: RETRY_MS }
    return {
      hold: (key, section) =>
        createLock({ adapter, key, ttl: ttlMs, ...retry }).using(signal => section(() => !signal.aborted)),
      close: async () => client.disconnect(),
    }
  },
  '@verrou/core'(url, { ttlMs, waitMs }) {
    const client = clientOf(url)
    const verrou = new Verrou({ default: 'redis', stores: { redis: { driver: redisStore({ connection: client }) } } })
    return {
      async hold(name, section) {
        const lock = verrou.createLock(name, ttlMs)
        if (!(await lock.acquire({ retry: { timeout: waitMs, delay: RETRY_MS } }))) throw new Error('not acquired')
        // It renews nothing by itself. What comes of a renewal is seen by isExpired().
        const renewal = setInterval(() => lock.extend(ttlMs).catch(() => {}), ttlMs / 3)
        try {
          await section(() => !lock.isExpired())
        } finally {
          clearInterval(renewal)
          await lock.release()
        }
      },
      close: async () => client.disconnect(),
    }
  },
}
