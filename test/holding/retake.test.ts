import { describe, expect, test } from 'vitest'
import { useStore } from './support.js'

/** Long enough that a process which stands still for a moment keeps its lock. */
const TTL_MS = 5_000

describe.each(['sqlite', 'redis'] as const)('a process that was stopped for longer than its ttl, on %s', kind => {
  const store = useStore(kind)

  test('goes on with a new fence when the lock is free', async () => {
    const holder = store.start()
    const { fence } = await holder.ask('lock', { name: 'a', ttlMs: TTL_MS, onLost: 'retake' })
    void holder.ask('stop')
    await holder.heard('stopping')
    const between = await store.client().lock('a')
    await between.release()
    await holder.signal('SIGCONT')
    const retaken = await holder.heard('retaken')
    expect(retaken).toMatchObject({ name: 'a', fenceBefore: fence })
    expect(retaken.fence).toBeGreaterThan(between.fence)
    expect(await holder.ask('valid', { name: 'a' })).toMatchObject({ fence: retaken.fence })
    expect(await store.client().tryLock('a')).toBeNull()
    expect(holder.events.map(({ event }) => event)).toEqual(['stopping', 'retaken'])
  })

  test('is told that it lost the lock when somebody has it', async () => {
    const holder = store.start()
    await holder.ask('lock', { name: 'b', ttlMs: TTL_MS, onLost: 'retake' })
    void holder.ask('stop')
    await holder.heard('stopping')
    const next = await store.client().lock('b')
    await holder.signal('SIGCONT')
    expect(await holder.heard('lost')).toMatchObject({ name: 'b', code: 'LEASE_LOST' })
    next.assertValid()
    expect(holder.events.map(({ event }) => event)).toEqual(['stopping', 'lost'])
  })
})
