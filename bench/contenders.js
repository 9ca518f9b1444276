import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redlock } from '@sesamecare-oss/redlock'
import { Redis } from 'ioredis'
import { Mutex } from 'redis-semaphore'
import { connect } from 'soloist'

/**
 * A way to take a lock. Peers keep their own defaults for how often they poll, and are only allowed to wait as long as
 * it takes.
 *
 * @typedef {object} Contender
 * @property {string} name
 * @property {(lock: string) => Promise<() => Promise<unknown>>} take resolves when the lock is held, with its release
 * @property {() => Promise<unknown>} close
 */

const TTL_MS = 30_000
const PATIENCE_MS = 600_000

/** @param {string} name @param {string} url @returns {Contender} */
export function soloist(name, url) {
  const solo = connect(url)
  return {
    name,
    take: async lock => {
      const lease = await solo.lock(lock, { ttlMs: TTL_MS })
      return () => lease.release()
    },
    close: () => solo.close(),
  }
}

/** @param {string} redisUrl @returns {Contender} */
export function redisSemaphore(redisUrl) {
  const client = new Redis(redisUrl)
  return {
    name: 'redis-semaphore',
    take: async lock => {
      const mutex = new Mutex(client, lock, { lockTimeout: TTL_MS, acquireTimeout: PATIENCE_MS })
      await mutex.acquire()
      return () => mutex.release()
    },
    close: async () => client.disconnect(),
  }
}

/** @param {string} redisUrl @returns {Contender} */
export function redlock(redisUrl) {
  const client = new Redis(redisUrl)
  const locks = new Redlock([client], { retryCount: 1_000_000 })
  return {
    name: '@sesamecare-oss/redlock',
    take: async lock => {
      const held = await locks.acquire([lock], TTL_MS)
      return () => held.release()
    },
    close: async () => client.disconnect(),
  }
}

/** A file of this run alone. */
export function sqliteFile() {
  const file = join(tmpdir(), `soloist-bench-${process.pid}.db`)
  return {
    url: `sqlite:${file}`,
    remove: () => Promise.all(['', '-wal', '-shm'].map(end => rm(file + end, { force: true }))),
  }
}
