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

  it('refuses a claim with another limit, which holds nothing and leaves nothing queued', async () => {
    const { world } = use
    const { solo } = world.client()
    const lease = await solo.semaphore('s', 2).lock()
    await expect(solo.semaphore('s', 3).lock()).rejects.toMatchObject({ code: 'LIMIT_MISMATCH' })
    await expect(solo.semaphore('s', 3).tryLock()).rejects.toMatchObject({ code: 'LIMIT_MISMATCH' })
    await expect(solo.rwLock('s').read.lock()).rejects.toMatchObject({
      ...{ code: 'LIMIT_MISMATCH', message: 'lock "s" is in use as a semaphore of 2, not as a read lock' },
    })
    expect(world.owners('s')).toEqual([lease.owner])
    expect(world.waiters('s')).toEqual([])
    await lease.release()
    const other = await solo.semaphore('s', 3).lock()
    expect(world.owners('s')).toEqual([other.owner])
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
