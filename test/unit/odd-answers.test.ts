// Guards invariant H1 of docs/guarantees.md.
import {
  type Answer,
  type Answers,
  type Backend,
  connect,
  type Lease,
  MemoryStore,
  memoryBackend,
  type Step,
} from 'soloist'
import { describe, expect, it } from 'vitest'
import { ManualClock } from '../support/manual-clock.js'
import { watch } from '../support/world.js'

// A backend of somebody's own may be wrong, and a proxy may answer for a server. Then every call still ends.

const ODD: readonly unknown[] = [undefined, null, 7, 'OK', {}, { status: 'perhaps' }, [], () => 1]

/** A backend whose answers to steps of a kind are replaced as told, on a clock of its own. */
function odd() {
  const clock = new ManualClock()
  const answers: Partial<Record<Step['kind'], { value: unknown }>> = {}
  const backend: Backend = memoryBackend({ store: new MemoryStore(clock) })
  const run = backend.run.bind(backend)
  backend.run = async steps => {
    const right = await run(steps)
    const told = (step: Step, i: number) => {
      const replaced = answers[step.kind]
      return (replaced === undefined ? right.steps[i] : replaced.value) as Answer
    }
    return { ...right, steps: steps.map(told) }
  }
  return { clock, answers, backend, solo: connect(backend, { clock, callTimeoutMs: 1_000 }) }
}

describe.each(ODD.map(value => [value]))('an answer to a whole list that is none: %j', value => {
  it('is a fault of each of its steps, and nothing stays', async () => {
    const { clock, backend, solo } = odd()
    const { run } = backend
    backend.run = async steps => {
      await run(steps)
      return value as Answers
    }
    const refused = [watch(solo.lock('a')), watch(solo.tryLock('b')), watch(solo.withLock(['c', 'd'], () => 'never'))]
    await clock.advance(2_000)
    for (const { error } of refused) expect(error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    backend.run = run
    await clock.advance(60_000)
    for (const name of ['a', 'b', 'c', 'd']) expect(await solo.inspect(name)).toBeNull()
    await solo.close()
  })
})

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
