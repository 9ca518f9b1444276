import nodeCron from 'node-cron'
import { coordinator, crons } from 'soloist/cron'
import { describe, expect, it } from 'vitest'
import { useWorld } from '../support/world.js'

const use = useWorld()
const KEY = 'nightly:2026-01-01T00:00:00.000Z'
const TTL_MS = 30_000

describe('the coordinator for node-cron', () => {
  it('lets one instance run a tick, also after the run has ended', async () => {
    const { world } = use
    const [one, two, three] = [world.client(), world.client(), world.client()].map(({ solo }) => coordinator(solo))
    expect(await Promise.all([one?.shouldRun(KEY, TTL_MS), two?.shouldRun(KEY, TTL_MS)])).toEqual([true, false])
    await one?.onComplete(KEY)
    await two?.onComplete(KEY)
    expect(await three?.shouldRun(KEY, TTL_MS)).toBe(false)
    await world.clock.advance(300_000)
    expect(await three?.shouldRun(KEY, TTL_MS)).toBe(false)
    expect(await three?.shouldRun('nightly:2026-01-01T00:01:00.000Z', TTL_MS)).toBe(true)
  })

  it('keeps a tick while it runs, however long node-cron takes it to be', async () => {
    const { world } = use
    const one = coordinator(world.client().solo)
    expect(await one.shouldRun(KEY, TTL_MS)).toBe(true)
    await world.clock.advance(3_600_000)
    expect(world.owners('tick:nightly@2026-01-01T00:00:00.000Z')).toHaveLength(1)
    await one.onComplete(KEY)
    expect((await crons(world.client().solo))[0]).toMatchObject({
      name: 'nightly',
      last: { scheduledAt: new Date(Date.UTC(2026, 0, 1)), tookMs: 3_600_000, result: 'done' },
    })
  })

  it('rejects when the store does not answer, and when the clocks differ too much', async () => {
    const { world } = use
    const { solo, link } = world.client()
    const one = coordinator(solo)
    link.fate = 'refuse'
    await expect(one.shouldRun(KEY, TTL_MS)).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    link.fate = 'pass'
    await world.clock.advance(600_001)
    await expect(one.shouldRun(KEY, TTL_MS)).rejects.toMatchObject({ code: 'CLOCKS_DIFFER' })
  })

  it('keeps the tick when its client is closed in the middle of the run', async () => {
    const { world } = use
    const { solo } = world.client()
    expect(await coordinator(solo).shouldRun(KEY, TTL_MS)).toBe(true)
    await solo.close()
    expect(await coordinator(world.client().solo).shouldRun(KEY, TTL_MS)).toBe(false)
  })

  it('refuses keys that no node-cron makes, and options there are not', async () => {
    const { solo } = use.world.client()
    const bad = expect.objectContaining({ code: 'INVALID_ARGUMENT' })
    for (const key of [
      'nightly',
      ':2026-01-01T00:00:00.000Z',
      'nightly:2026-01-01',
      'nightly:2026-13-01T00:00:00.000Z',
    ]) {
      await expect(coordinator(solo).shouldRun(key, TTL_MS)).rejects.toEqual(bad)
    }
    expect(() => coordinator(solo, { keepForMs: 1 })).toThrow(bad)
    expect(() => coordinator(solo, { ttlMs: 1 } as never)).toThrow(bad)
  })

  it('fits the types of node-cron, which skips a task with coordinator-error while the store is away', async () => {
    const { solo, link } = use.world.client()
    link.fate = 'refuse'
    const silent = { info() {}, warn() {}, error() {}, debug() {} }
    const runs: string[] = []
    const task = nodeCron.schedule('* * * * * *', () => void runs.push('ran'), {
      name: 'away',
      distributed: true,
      runCoordinator: coordinator(solo),
      logger: silent,
    })
    const { reason } = await new Promise<{ reason?: string }>(resolve => task.once('execution:skipped', resolve))
    await task.destroy()
    expect([reason, runs]).toEqual(['coordinator-error', []])
  })
})
