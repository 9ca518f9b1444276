import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'soloist'
import { describe, expect, it } from 'vitest'
import { useWorld, watch } from '../support/world.js'

const use = useWorld()
const selfWait = expect.objectContaining({ name: 'SoloistError', code: 'SELF_WAIT' })
const busy = expect.objectContaining({ code: 'LOCK_TIMEOUT' })

/** What a call in a block of `a` comes to, if it comes to anything at once. */
async function within(call: () => Promise<unknown>): Promise<unknown> {
  const { world } = use
  const outcome = watch(world.client().solo.withLock('outer', () => call()))
  await world.clock.flush()
  return outcome.settled ? (outcome.error ?? outcome.value) : 'waits'
}

describe('withLock of what its own block holds is an error at once', () => {
  it('of one name, also with waitMs, also further in, and nothing is sent', async () => {
    const { solo, link } = use.world.client()
    const own = (options = {}) => solo.withLock('a', () => solo.withLock('a', options, () => 'inner'))
    await expect(own()).rejects.toEqual(selfWait)
    await expect(own({ waitMs: 60_000 })).rejects.toEqual(selfWait)
    await expect(
      solo.withLock('a', () => solo.withLock('b', () => solo.withLock('c', () => solo.withLock('a', () => 1)))),
    ).rejects.toEqual(selfWait)
    expect(link.sent.filter(({ method, claim }) => method === 'acquire' && claim?.name === 'a')).toHaveLength(3)
    expect(use.world.inUse()).toEqual([])
  })

  it('of several names, in either block', async () => {
    const { solo } = use.world.client()
    await expect(solo.withLock(['a', 'b'], () => solo.withLock('b', () => 1))).rejects.toEqual(selfWait)
    await expect(solo.withLock('b', () => solo.withLock(['a', 'b', 'c'], () => 1))).rejects.toEqual(selfWait)
    await expect(solo.withLock(['a', 'b'], () => solo.withLock(['c', 'a'], () => 1))).rejects.toEqual(selfWait)
    expect(use.world.inUse()).toEqual([])
  })

  it('of the other side of a read/write lock, and of a semaphore whose places it has all', async () => {
    const { solo } = use.world.client()
    const { read, write } = solo.rwLock('rw')
    await expect(read.withLock(() => write.withLock(() => 1))).rejects.toEqual(selfWait)
    await expect(write.withLock(() => read.withLock(() => 1))).rejects.toEqual(selfWait)
    await expect(solo.withLock('rw', () => read.withLock(() => 1))).rejects.toEqual(selfWait)
    const two = solo.semaphore('two', 2)
    await expect(two.withLock(() => two.withLock(() => two.withLock(() => 1)))).rejects.toEqual(selfWait)
    const one = solo.semaphore('one', 1)
    await expect(one.withLock(() => one.withLock(() => 1))).rejects.toEqual(selfWait)
    expect(use.world.inUse()).toEqual([])
  })

  it('also after timers, events and promises between the two', async () => {
    const { solo } = use.world.client()
    const later = solo.withLock('a', async () => {
      await sleep(1)
      return await Promise.all([1, 2].map(() => solo.withLock('a', () => 1)))
    })
    await expect(later).rejects.toEqual(selfWait)
  })

  it('a thousand at once are each told apart from the others', async () => {
    const { solo } = use.world.client()
    const blocks = Array.from({ length: 1_000 }, (_, i) =>
      solo.withLock(`lock ${i}`, async () => {
        await Promise.resolve()
        return await solo.withLock(i % 2 === 0 ? `lock ${i}` : `other ${i}`, () => 'inner')
      }),
    )
    const ends = await Promise.allSettled(blocks)
    expect(ends.filter(({ status }) => status === 'rejected')).toHaveLength(500)
    for (const [i, end] of ends.entries()) {
      expect(end).toEqual(
        i % 2 === 0 ? { status: 'rejected', reason: selfWait } : { status: 'fulfilled', value: 'inner' },
      )
    }
  })
})

describe('what may end is no error', () => {
  it('other names, together and in turn', async () => {
    const { solo } = use.world.client()
    const inner = () => Promise.all([solo.withLock('b', () => 1), solo.withLock('b', () => 2)])
    expect(await solo.withLock('a', inner)).toEqual([1, 2])
    expect(await within(() => solo.withLock('outer', () => 'another client waits'))).toBe('waits')
  })

  it('readers within readers, and a semaphore that has places left', async () => {
    const { solo } = use.world.client()
    const { read } = solo.rwLock('rw')
    expect(await read.withLock(() => read.withLock(() => 'read'))).toBe('read')
    const two = solo.semaphore('two', 2)
    expect(await two.withLock(() => two.withLock(() => 'both'))).toBe('both')
  })

  it('tryLock is null and waitMs: 0 is LOCK_TIMEOUT, as ever', async () => {
    const { solo } = use.world.client()
    expect(await solo.withLock('a', () => solo.tryLock('a'))).toBeNull()
    await expect(solo.withLock('a', () => solo.withLock('a', { waitMs: 0 }, () => 1))).rejects.toEqual(busy)
  })

  it('lock() for work that the block starts and does not await', async () => {
    const { world } = use
    const { solo } = world.client()
    let after: Promise<string> | undefined
    await solo.withLock('a', () => {
      after = solo.lock('a').then(async lease => {
        await lease.release()
        return 'after the block'
      })
    })
    expect(await after).toBe('after the block')
  })

  it('withLock in what outlives the block it was started in', async () => {
    const { solo } = use.world.client()
    let after: Promise<string> | undefined
    let started = 0
    const onwards = async (): Promise<string> => {
      await sleep(5)
      return await solo.withLock('a', () => {
        started += 1
        if (started < 3) after = onwards()
        return `run ${started}`
      })
    }
    await solo.withLock('a', () => {
      after = onwards()
    })
    while (started < 3) expect(await after).toMatch(/^run/)
  })

  it('a lock that the block gave back, or lost', async () => {
    const { solo } = use.world.client()
    const again = solo.withLock('a', async lease => {
      await lease.release()
      return await solo.withLock('a', () => 'again')
    })
    expect(await again).toBe('again')
  })

  it('listeners of events and of signals, whichever block made the timer that calls them', async () => {
    await using solo = connect('memory:')
    const asked: Promise<unknown>[] = []
    const ask = () => asked.push(solo.withLock('long', { waitMs: 1 }, () => 1).catch(error => error))
    solo.on('lost', ask)
    await solo.withLock('long', async () => {
      const lease = await solo.lock('short', { ttlMs: 900 })
      lease.signal.addEventListener('abort', ask)
      const lost = once(lease.signal, 'abort')
      await solo.unlock('short', { force: true })
      await lost
      // Its listeners are called one after the other, and those of the event after them.
      await new Promise(resolve => setImmediate(resolve))
    })
    const ends = await Promise.all(asked)
    expect(ends).toHaveLength(2)
    for (const end of ends) expect(end).not.toEqual(selfWait)
  })
})

describe('a job whose run awaits what cannot end before it', () => {
  it('its own key, directly and through another job, is an error at once', async () => {
    const { solo } = use.world.client()
    const self = solo.job('self', (n: number): Promise<unknown> => self(n))
    await expect(self(1)).rejects.toEqual(selfWait)
    const a = solo.job('A', (n: number): Promise<unknown> => b(n))
    const b = solo.job('B', (n: number): Promise<unknown> => a(n))
    await expect(a(1)).rejects.toEqual(selfWait)
    const result = solo.job('result', async (n: number): Promise<unknown> => (await result.trigger(n)).result())
    await expect(result(1)).rejects.toEqual(selfWait)
    expect(use.world.inUse()).toEqual([])
  })

  it.each(['rerun', 'delay', 'replace'] as const)('with %s, and leaves no run behind', async onDuplicate => {
    const { world } = use
    const { solo } = world.client()
    let runs = 0
    const again = solo.job('again', { onDuplicate }, (n: number): Promise<unknown> => {
      runs += 1
      return again(n)
    })
    await expect(again(1)).rejects.toEqual(selfWait)
    await world.clock.advance(1_000)
    expect(runs).toBe(1)
    expect(world.inUse()).toEqual([])
  })

  it('other arguments, a strategy that does not wait, and a trigger that is not awaited are none', async () => {
    const { world } = use
    const { solo } = world.client()
    const down = solo.job('down', (n: number): Promise<unknown> | string => (n === 0 ? 'end' : down(n - 1)))
    expect(await down(3)).toBe('end')
    const skip = solo.job('skip', { onDuplicate: 'skip' }, (n: number): Promise<unknown> => skip(n))
    await expect(skip(1)).rejects.toMatchObject({ code: 'DUPLICATE_JOB' })
    let runs = 0
    const rerun = solo.job('rerun', { onDuplicate: 'rerun' }, async (n: number) => {
      runs += 1
      if (runs < 3) await rerun.trigger(n)
    })
    await rerun(1)
    await world.clock.advance(1_000)
    expect(runs).toBe(3)
  })

  it('a run that a block triggers and does not await may wait for the block', async () => {
    const { world } = use
    const { solo } = world.client()
    const after = solo.job('after', () => solo.withLock('a', () => 'after the block'))
    const outcome = await solo.withLock('a', async () => await after.trigger())
    expect(await outcome.result()).toBe('after the block')
    await expect(solo.withLock('a', () => after())).rejects.toEqual(selfWait)
  })
})
