import { describe, expect, it } from 'vitest'
import { useWorld, watch } from '../support/world.js'

const use = useWorld()

describe('semaphore', () => {
  it('lets in as many as its limit, and the next when one leaves', async () => {
    const { world } = use
    const one = world.client().solo.semaphore('s', 2)
    const two = world.client().solo.semaphore('s', 2)
    const a = await one.lock()
    const b = await two.lock()
    expect(await one.tryLock()).toBeNull()
    const c = watch(one.lock())
    await world.clock.flush()
    expect(world.owners('s')).toEqual([a.owner, b.owner])
    await a.release()
    await world.clock.flush()
    expect(world.owners('s')).toEqual([b.owner, c.value?.owner])
  })

  it('judges each call by its own limit, so that a limit can be raised or lowered by a rolling deploy', async () => {
    const { world } = use
    const [before, after] = [world.client().solo, world.client().solo]
    const a = await before.semaphore('s', 1).lock()
    expect(await before.semaphore('s', 1).tryLock()).toBeNull()
    const b = await after.semaphore('s', 3).lock()
    const waiting = watch(before.semaphore('s', 1).lock())
    await world.clock.flush()
    const state = await after.inspect('s')
    expect(state?.holders.map(({ limit }) => limit)).toEqual([1, 3])
    expect(state?.waiters.map(({ limit }) => limit)).toEqual([1])
    await a.release()
    await world.clock.flush()
    expect(waiting.settled).toBe(false)
    await b.release()
    await world.clock.flush()
    expect(world.owners('s')).toEqual([waiting.value?.owner])
  })
})

describe('rwLock', () => {
  it('lets readers in together and writers alone, in the order they came', async () => {
    const { world } = use
    const { read, write } = world.client().solo.rwLock('config')
    const r1 = await read.lock()
    const r2 = await read.lock()
    const w = watch(write.lock())
    await world.clock.flush()
    const r3 = watch(read.lock())
    const r4 = watch(read.lock())
    await world.clock.flush()
    expect(await read.tryLock()).toBeNull()
    expect(world.owners('config')).toEqual([r1.owner, r2.owner])
    await r1.release()
    await world.clock.flush()
    expect(w.settled).toBe(false)
    await r2.release()
    await world.clock.flush()
    expect(world.owners('config')).toEqual([w.value?.owner])
    expect(r3.settled).toBe(false)
    await w.value?.release()
    await world.clock.flush()
    expect(world.owners('config')).toEqual([r3.value?.owner, r4.value?.owner])
  })

  it('shares its name with a mutex: the writer is the mutex', async () => {
    const { world } = use
    const { solo } = world.client()
    const lease = await solo.lock('config')
    expect(await solo.rwLock('config').read.tryLock()).toBeNull()
    expect(await solo.rwLock('config').write.tryLock()).toBeNull()
    expect(world.owners('config')).toEqual([lease.owner])
  })
})
