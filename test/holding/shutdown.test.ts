import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { useStore } from './support.js'

describe.each(['sqlite', 'redis'] as const)('a process that is told to end, on %s', kind => {
  const store = useStore(kind)

  test('keeps the lock of its block until the block ends, then hands it on and ends by itself', async () => {
    const first = store.start()
    await first.ask('block', { name: 'a', ttlMs: 20_000 })
    let grantedMs = 0
    const next = store
      .client()
      .lock('a')
      .then(() => {
        grantedMs = Date.now()
      })
    const exited = once(first.process, 'exit')
    await first.signal('SIGTERM')
    // It takes nothing new any more, so it has begun to close.
    await expect.poll(async () => (await first.ask('lock', { name: 'b' })).code).toBe('CLOSED')
    await first.ask('end', { name: 'a' })
    const { atMs } = await first.heard('ended')
    await next
    expect(grantedMs).toBeGreaterThanOrEqual(atMs as number)
    expect(first.events.map(({ event }) => event)).toEqual(['ended'])
    first.process.stdin.end()
    expect(await exited).toEqual([0, null])
  })

  test('four processes that end one after the other run their blocks one at a time', async () => {
    const processes = [1, 2, 3, 4].map(() => store.start())
    const spans = processes.map(async process => {
      const exited = once(process.process, 'exit')
      const { atMs: beganMs } = await process.ask('block', { name: 'turn', ttlMs: 20_000, workMs: 60 })
      await process.signal('SIGTERM')
      process.process.stdin.end()
      expect(await exited).toEqual([0, null])
      const { atMs: endedMs } = await process.heard('ended')
      expect(process.events.map(({ event }) => event)).toEqual(['ended'])
      return { beganMs: beganMs as number, endedMs: endedMs as number }
    })
    const turns = (await Promise.all(spans)).sort((a, b) => a.beganMs - b.beganMs)
    expect(turns.filter(({ beganMs }, i) => beganMs < (turns[i - 1]?.endedMs ?? 0))).toEqual([])
    expect(await store.client().tryLock('turn')).not.toBeNull()
  })
})
