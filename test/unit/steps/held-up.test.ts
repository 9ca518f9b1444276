import { expect, test } from 'vitest'
import { deferred } from '../../job/support.js'
import { useWorld, watch } from '../../support/world.js'

const use = useWorld()

test('an answer that came while this process was held up is read before its time counts as over', async () => {
  const { world } = use
  const { solo, link } = world.client()
  const arrives = deferred()
  link.next('acquire', { answersAfter: arrives.promise })
  const taking = watch(solo.tryLock('a'))
  await world.clock.flush()
  // Stopped, or with an event loop that was blocked: the answer is there, and nobody has read it.
  world.clock.block(6_000)
  await world.clock.advance(1)
  expect(taking.settled).toBe(false)
  arrives.resolve()
  await world.clock.advance(1)
  expect(taking.value?.name).toBe('a')
})

test('what has no answer after that is over', async () => {
  const { world } = use
  const { solo, link } = world.client()
  link.next('acquire', 'swallow')
  const taking = watch(solo.tryLock('a'))
  await world.clock.flush()
  world.clock.block(6_000)
  await world.clock.advance(49)
  expect(taking.error).toBeUndefined()
  await world.clock.advance(10)
  expect(taking.error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
})
