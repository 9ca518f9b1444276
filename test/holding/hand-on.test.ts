import { describe, expect, test } from 'vitest'
import { type Holder, useStore } from './support.js'

describe.each(['sqlite', 'redis'] as const)('a holding that is handed on between processes, on %s', kind => {
  const store = useStore(kind)

  test('stays held while nobody runs that holds it, and goes on in the next process', async () => {
    const first = store.start()
    const { owner, fence } = await first.ask('lock', { name: 'a', ttlMs: 20_000 })
    const { token } = await first.ask('detach', { name: 'a' })
    await first.signal('SIGKILL')
    const solo = store.client()
    expect(await solo.tryLock('a')).toBeNull()
    const second = store.start()
    expect(await second.ask('attach', { token })).toEqual({ name: 'a', owner, fence })
    expect(await second.ask('valid', { name: 'a' })).toEqual({ name: 'a', owner, fence })
    await second.ask('release', { name: 'a' })
    const next = await solo.tryLock('a')
    expect(next?.fence).toBeGreaterThan(fence as number)
    expect((await store.start().ask('attach', { token })).code).toBe('LEASE_LOST')
  })

  test('goes round four processes, each renewing it, until one gives it back', async () => {
    const processes = [1, 2, 3, 4].map(() => store.start())
    await Promise.all(processes.map((process, i) => process.ask('lock', { name: `ready to go round ${i}` })))
    const at = (turn: number) => processes[turn % 4] as Holder
    const { owner, fence } = await at(0).ask('lock', { name: 'round', ttlMs: 6_000 })
    for (let turn = 1; turn <= 8; turn += 1) {
      const { token } = await at(turn - 1).ask('detach', { name: 'round' })
      expect(await at(turn).ask('attach', { token })).toEqual({ name: 'round', owner, fence })
      expect(await at(turn - 1).ask('valid', { name: 'round' })).toEqual({ code: 'LEASE_LOST' })
    }
    await at(8).ask('release', { name: 'round' })
    expect(await store.client().tryLock('round')).not.toBeNull()
  })

  test('may be attached by four at once, who all stand for the one holding: the first release ends it', async () => {
    const first = store.start()
    const four = [1, 2, 3, 4].map(() => store.start())
    await Promise.all(four.map((process, i) => process.ask('lock', { name: `ready ${i}` })))
    const { owner } = await first.ask('lock', { name: 'four', ttlMs: 6_000 })
    const { token } = await first.ask('detach', { name: 'four' })
    const owners = await Promise.all(four.map(process => process.ask('attach', { token })))
    expect(new Set(owners.map(({ owner }) => owner))).toEqual(new Set([owner]))
    await four[0]?.ask('release', { name: 'four' })
    const lease = await store.client().tryLock('four')
    expect(lease).not.toBeNull()
    const ends = await Promise.all(four.slice(1).map(process => process.heard('lost')))
    expect(ends.map(({ code }) => code)).toEqual(['LEASE_LOST', 'LEASE_LOST', 'LEASE_LOST'])
    lease?.assertValid()
  })
})
