import { DuplicateJobError, type LockTimeoutError, type TriggerOutcome } from 'soloist'
import { describe, expect, it } from 'vitest'
import { record, useWorld, watch } from '../support/world.js'

const use = useWorld()

describe('durations that callers see', () => {
  it('are whole milliseconds, though the clocks count parts of them', async () => {
    const { world } = use
    const { solo } = world.client()
    const events = record(solo)
    world.clock.block(0.123)
    const held = await solo.lock('a')
    const refused = watch(solo.lock('a', { waitMs: 50 }))
    await world.clock.advance(20.456)
    await world.clock.advance(40.7)
    const { waitedMs, message } = refused.error as LockTimeoutError
    expect(waitedMs).toBe(50)
    expect(message).toContain('was not granted within 50 ms (waitMs); it is held by')
    await held.release()
    expect(events).toMatchObject([
      ['acquired', { owner: held.owner, waitedMs: 0 }],
      ['waiting', { holder: held.owner }],
      ['released', { owner: held.owner, heldMs: 61 }],
    ])
  })

  it('are so for jobs, too', async () => {
    const { world } = use
    const one = world.client().solo
    const two = world.client().solo
    let end: () => void = () => {}
    const handler = () =>
      new Promise<void>(resolve => {
        end = resolve
      })
    world.clock.block(0.3)
    const run = one.job('mail', handler)()
    await world.clock.flush()
    await world.clock.advance(10.45)
    const ages: unknown[] = []
    const note = ({ ageMs }: { ageMs: number | null }) => {
      ages.push(ageMs)
      return 'reject' as const
    }
    const outcomes: TriggerOutcome[] = []
    for (const solo of [one, two]) {
      outcomes.push(await solo.job('mail', handler).trigger())
      const error = await solo
        .job('mail', { onDuplicate: note }, handler)
        .trigger()
        .catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(DuplicateJobError)
      ages.push((error as DuplicateJobError).ageMs)
    }
    ages.push(...outcomes.map(({ ageMs }) => ageMs))
    for await (const { name } of one.jobs.list()) ages.push((await one.jobs.holder(name))?.ageMs)
    expect(ages.length).toBeGreaterThan(6)
    for (const ageMs of ages) expect([10, 11]).toContain(ageMs)
    end()
    await run
  })
})

it('a time-out names the bound that was set, however long it took', async () => {
  const { world } = use
  const one = world.client({ callTimeoutMs: 800 })
  const holder = world.client({})
  await holder.solo.lock('held')
  const busy = watch(one.solo.lock('held', { waitMs: 300 }))
  await world.clock.advance(301)
  one.link.fate = 'drop'
  const unheard = watch(one.solo.inspect('a'))
  // Nobody said that the lock is taken, so it is the call's bound that is over.
  const once = watch(one.solo.lock('a', { waitMs: 300 }))
  await world.clock.advance(900)
  expect(busy.error).toMatchObject({ code: 'LOCK_TIMEOUT', message: expect.stringContaining('within 300 ms (waitMs)') })
  for (const { error } of [unheard, once]) {
    const message = expect.stringContaining('within 800 ms (callTimeoutMs)')
    expect(error).toMatchObject({ code: 'BACKEND_UNAVAILABLE', message })
  }
})
