import { once } from 'node:events'

/** Long enough that a process which stands still for a moment keeps its locks. */
export const TTL_MS = 3_500
const ttlMs = TTL_MS

/**
 * What a process may be in the middle of when it is killed. All is about the locks `a` and `b`; `other` is a client of the
 * same process whose calls have no boundaries.
 *
 * @typedef {{ solo: import('soloist').Soloist, other: import('soloist').Soloist, tell(lease: import('soloist').Lease): void }} Given
 * @type {Record<string, (given: Given) => Promise<void>>}
 */
export const operations = {
  async 'takes a free lock, renews it and gives it back'({ solo, tell }) {
    const lease = await solo.lock('a', { ttlMs })
    tell(lease)
    await lease.renew()
    await lease.release()
  },

  async 'waits, is granted the lock and gives it to the next'({ solo, other, tell }) {
    const before = await other.lock('a', { ttlMs })
    tell(before)
    const waiting = solo.lock('a', { ttlMs })
    await once(solo, 'waiting')
    const next = other.lock('a', { ttlMs })
    await once(other, 'waiting')
    await before.release()
    const lease = await waiting
    tell(lease)
    await lease.release()
    tell(await next)
    await (await next).release()
  },

  async 'finds the lock taken, and gives up waiting for it'({ solo, other, tell }) {
    const before = await other.lock('a', { ttlMs })
    tell(before)
    await solo.tryLock('a', { ttlMs })
    const controller = new AbortController()
    const waiting = solo.lock('a', { ttlMs, signal: controller.signal })
    await once(solo, 'waiting')
    controller.abort()
    await Promise.allSettled([waiting])
    await before.release()
  },

  async 'hands a lease on, attaches it and keeps it for a while'({ solo, tell }) {
    const lease = await solo.lock('a', { ttlMs })
    tell(lease)
    const attached = await solo.attach(await lease.detach())
    await attached.release()
    const kept = await solo.lock('b', { ttlMs, holdForMs: 200 })
    tell(kept)
    await kept.release()
  },

  async 'takes two locks and a place of a semaphore, as reader and writer, and is closed'({ solo, tell }) {
    await solo.withLock(['a', 'b'], { ttlMs }, ({ leases }) => {
      for (const lease of leases) tell(lease)
    })
    tell(await solo.semaphore('a', 1).lock({ ttlMs }))
    tell(await solo.rwLock('b').read.lock({ ttlMs }))
  },
}
