import type { LockState } from 'soloist'
import { describe, expect, it } from 'vitest'
import { useWorld, watch } from '../support/world.js'

const use = useWorld()

async function collect(states: AsyncIterable<LockState>): Promise<LockState[]> {
  const all: LockState[] = []
  for await (const state of states) all.push(state)
  return all
}

describe('inspect', () => {
  it('shows who holds the lock since when, and who waits for it', async () => {
    const { world } = use
    const { solo } = world.client()
    const takenAtMs = world.clock.wallMs()
    const lease = await solo.lock('a', { ttlMs: 30_000, meta: 'nightly report' })
    await world.clock.advance(1_000)
    const wait = watch(world.client().solo.rwLock('a').read.lock({ meta: 'reader' }))
    await world.clock.advance(500)
    const state = await solo.inspect('a')
    expect(state).toEqual({
      name: 'a',
      holding: 1,
      holders: [
        {
          owner: lease.owner,
          mode: 'exclusive',
          limit: null,
          fence: lease.fence,
          acquiredAtMs: takenAtMs,
          expiresAtMs: takenAtMs + 30_000,
          meta: 'nightly report',
        },
      ],
      pending: null,
      waiting: 1,
      waiters: [
        {
          owner: world.waiters('a')[0],
          mode: 'shared',
          limit: null,
          waitingSinceMs: takenAtMs + 1_000,
          meta: 'reader',
          durable: false,
        },
      ],
      atMs: takenAtMs + 1_500,
    })
    expect(wait.settled).toBe(false)
  })

  it('answers null for a lock nobody uses', async () => {
    const { world } = use
    const { solo } = world.client()
    expect(await solo.inspect('a')).toBeNull()
    await (await solo.lock('a')).release()
    expect(await solo.inspect('a')).toBeNull()
  })
})

describe('list', () => {
  it('shows each lock in use whose name starts with the prefix, taken literally', async () => {
    const { world } = use
    const { solo } = world.client()
    for (const name of ['job:1', 'job:2', 'job*', 'jo', 'other']) await solo.lock(name)
    const names = async (prefix?: string) =>
      (await collect(solo.list(prefix === undefined ? undefined : { prefix }))).map(({ name }) => name).sort()
    expect(await names()).toEqual(['jo', 'job*', 'job:1', 'job:2', 'other'])
    expect(await names('job')).toEqual(['job*', 'job:1', 'job:2'])
    expect(await names('job*')).toEqual(['job*'])
    expect(await names('[a-z]')).toEqual([])
  })

  it('may be left early', async () => {
    const { world } = use
    const { solo } = world.client()
    await solo.lock('a')
    await solo.lock('b')
    for await (const { name } of solo.list()) {
      expect(name).toBe('a')
      break
    }
  })

  it('is bounded by the call time-out while the backend hangs', async () => {
    const { world } = use
    const { solo, link } = world.client({ callTimeoutMs: 1_000 })
    await solo.lock('a')
    await solo.lock('b')
    link.next('list', 'pass', 'drop')
    const reading = watch(collect(solo.list()))
    await world.clock.advance(1_000)
    expect(reading.error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
  })
})

describe('unlock', () => {
  it('takes the lock from the owner it names, and the next in line has it', async () => {
    const { world } = use
    const lease = await world.client().solo.lock('a')
    const next = watch(world.client().solo.lock('a'))
    await world.clock.flush()
    const operator = world.client().solo
    expect(await operator.unlock('a', { owner: lease.owner })).toBe(true)
    await world.clock.flush()
    expect(world.owners('a')).toEqual([next.value?.owner])
    await expect(lease.renew()).rejects.toMatchObject({ code: 'LEASE_LOST' })
    expect(lease.fence).toBeLessThan(next.value?.fence as number)
  })

  it('leaves the lock with anybody else', async () => {
    const { world } = use
    const lease = await world.client().solo.lock('a')
    const wait = watch(world.client().solo.lock('a'))
    await world.clock.flush()
    const operator = world.client().solo
    expect(await operator.unlock('a', { owner: 'somebody' })).toBe(false)
    expect(await operator.unlock('a', { owner: world.waiters('a')[0] as string })).toBe(false)
    expect(await operator.unlock('b', { force: true })).toBe(false)
    expect(world.owners('a')).toEqual([lease.owner])
    expect(world.waiters('a')).toHaveLength(1)
    expect(wait.settled).toBe(false)
  })

  it('takes one of several holders, or by force all of them', async () => {
    const { world } = use
    const { solo } = world.client()
    const semaphore = solo.semaphore('s', 3)
    const [a, b, c] = [await semaphore.lock(), await semaphore.lock(), await semaphore.lock()]
    const operator = world.client().solo
    expect(await operator.unlock('s', { owner: b.owner })).toBe(true)
    expect(world.owners('s')).toEqual([a.owner, c.owner])
    expect(await operator.unlock('s', { force: true })).toBe(true)
    expect(world.inUse()).toEqual([])
    expect(await operator.unlock('s', { force: true })).toBe(false)
  })
})

describe('clear', () => {
  it('takes every lock under the prefix, says how many, and leaves the others', async () => {
    const { world } = use
    const { solo } = world.client()
    for (let i = 0; i < 250; i++) await solo.lock(`job:${i}`)
    const semaphore = solo.semaphore('job:s', 2)
    await semaphore.lock()
    await semaphore.lock()
    const other = await solo.lock('jobs')
    expect(await world.client().solo.clear('job:')).toBe(251)
    expect(world.inUse()).toEqual(['jobs'])
    expect(world.owners('jobs')).toEqual([other.owner])
    expect(await solo.clear('job:')).toBe(0)
  })

  it('takes its prefix literally', async () => {
    const { world } = use
    const { solo } = world.client()
    for (const name of ['a*b', 'axb', 'a?b', '[a]', '{a}', 'a\\']) await solo.lock(name)
    expect(await solo.clear('a*')).toBe(1)
    expect(await solo.clear('[a')).toBe(1)
    expect(await solo.clear('a\\')).toBe(1)
    expect([...world.inUse()].sort()).toEqual(['a?b', 'axb', '{a}'])
    expect(await solo.clear('')).toBe(3)
  })

  it('hands each lock to whoever waits for it', async () => {
    const { world } = use
    const one = world.client().solo
    await one.lock('job:1')
    const next = watch(world.client().solo.lock('job:1'))
    await world.clock.flush()
    expect(await world.client().solo.clear('job:')).toBe(1)
    await world.clock.flush()
    expect(world.owners('job:1')).toEqual([next.value?.owner])
    next.value?.assertValid()
  })
})
