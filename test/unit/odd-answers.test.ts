import {
  type AcquireReply,
  type Backend,
  connect,
  type Lease,
  MemoryStore,
  memoryBackend,
  type RenewReply,
} from 'soloist'
import { describe, expect, it } from 'vitest'
import { ManualClock } from '../support/manual-clock.js'
import { watch } from '../support/world.js'

// A backend of somebody's own may be wrong, and a proxy may answer for a server. Then every call still ends.

const ODD: readonly unknown[] = [undefined, null, 7, 'OK', {}, { status: 'perhaps' }, [], () => 1]

/** A backend whose answers are replaced as told, on a clock of its own. */
function odd() {
  const clock = new ManualClock()
  const answers: { acquire?: { value: unknown }; renew?: { value: unknown } } = {}
  const backend: Backend = memoryBackend({ store: new MemoryStore(clock) })
  const acquire = backend.acquire.bind(backend)
  const renew = backend.renew.bind(backend)
  backend.acquire = async (...args) => {
    const reply = await acquire(...args)
    return answers.acquire === undefined ? reply : (answers.acquire.value as AcquireReply)
  }
  backend.renew = async claims => {
    const replies = await renew(claims)
    return answers.renew === undefined ? replies : (answers.renew.value as RenewReply[])
  }
  return { clock, answers, solo: connect(backend, { clock, callTimeoutMs: 1_000 }) }
}

describe.each(ODD.map(value => [value]))('an answer that is none: %j', value => {
  it('to the first question refuses the call, and nothing stays', async () => {
    const { clock, answers, solo } = odd()
    answers.acquire = { value }
    const refused = [watch(solo.lock('a')), watch(solo.tryLock('b')), watch(solo.withLock(['c', 'd'], () => 'never'))]
    await clock.advance(2_000)
    for (const { error } of refused) expect(error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    for (const name of ['a', 'b', 'c', 'd']) expect(await solo.inspect(name)).toBeNull()
    delete answers.acquire
    await solo.close()
  })

  it('to a later question is asked again', async () => {
    const { clock, answers, solo } = odd()
    const held = await solo.lock('a', { ttlMs: 60_000 })
    const waiting = watch(solo.lock('a'))
    await clock.flush()
    answers.acquire = { value }
    await clock.advance(10_000)
    expect(waiting.settled).toBe(false)
    delete answers.acquire
    await held.release()
    await clock.advance(5_000)
    const next = waiting.value as Lease
    expect((await solo.inspect('a'))?.holders[0]?.owner).toBe(next.owner)
    await solo.close()
  })

  it('to a renewal is a fault, and the lease stands until it runs out', async () => {
    const { clock, answers, solo } = odd()
    const held = await solo.lock('a', { ttlMs: 9_000 })
    answers.renew = { value }
    await expect(held.renew()).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    held.assertValid()
    delete answers.renew
    await clock.advance(20_000)
    held.assertValid()
    await solo.close()
  })
})
