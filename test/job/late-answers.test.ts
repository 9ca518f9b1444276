import { jobLockNames } from 'soloist'
import { expect, test } from 'vitest'
import { useWorld, watch } from '../support/world.js'
import { deferred } from './support.js'
import { args, merge, Runs } from './world.js'

const use = useWorld()

test('a grant is confirmed late, when another run of its process is in its place: both triggers are covered by that', async () => {
  const { world } = use
  const [l, b] = [world.client(), world.client()]
  const runs = new Runs({ onDuplicate: 'rerun', ttlMs: 5_000 })
  const job = runs.in('b', b)
  const live = await runs.live(l)
  const first = await job.trigger(args('T1'))
  b.link.next('renew', { answersAfterMs: 500 })
  b.link.onPush = (event, deliver) => (event.type === 'ended' ? undefined : deliver(event))
  live.end()
  await world.clock.advance(1)
  const gate = deferred()
  runs.ends[1] = gate.promise
  // The second time it is carried out, the run that it displaced is not to be seen any more.
  b.link.next('trigger', 'twice')
  const second = watch(job.trigger(args('T2')))
  await world.clock.advance(1)
  expect(second.value).toMatchObject({ status: 'started' })
  const results = [first, second.value].map(outcome => watch(outcome?.result() as Promise<string>))
  await world.clock.advance(1_000)
  gate.resolve()
  for (let i = 0; i < 5; i++) await world.clock.advance(2_000)
  expect(results).toMatchObject([{ value: 'T2' }, { value: 'T2' }])
  expect(runs.all).toEqual(['live: live', 'b: T2'])
  expect(world.inUse()).toEqual([])
})

test('a run starts anew and the answer is lost: who left arguments with it meanwhile does not take the next one for it', async () => {
  const { world } = use
  const [l, a, b] = [world.client(), world.client({ callTimeoutMs: 1_000 }), world.client()]
  const runs = new Runs({ onDuplicate: 'rerun', merge, ttlMs: 5_000 })
  const [inA, inB] = [runs.in('a', a), runs.in('b', b)]
  const live = await runs.live(l)
  const first = await inA.trigger(args('T1'))
  const second = await inB.trigger(args('X'))
  const results = [first, second].map(outcome => watch(outcome.result()))
  await world.clock.advance(1)
  const lock = jobLockNames('j', inA.key(args())).trigger
  const [pending] = world.waiters(lock)
  // The pending run is taken away, and both start anew: B leaves its arguments with the new run of A.
  a.link.next('trigger', 'swallow')
  b.link.next('trigger', { arrivesAfterMs: 100 })
  b.link.onPush = (event, deliver) => (event.type === 'ended' && event.owner !== pending ? undefined : deliver(event))
  await l.solo.jobs.release(lock, String(pending))
  await world.clock.advance(3_000)
  live.end()
  for (let i = 0; i < 10; i++) await world.clock.advance(2_000)
  const values = results.map(({ value }) => value?.split(' '))
  expect(values[0]).toContain('T1')
  expect(values[1]).toContain('X')
  expect(world.inUse()).toEqual([])
})

test('a run is granted and lost before its trigger is answered: who left arguments with it does not take the next one for it', async () => {
  const { world } = use
  const [l, b, c] = [world.client(), world.client(), world.client()]
  const runs = new Runs({ onDuplicate: 'rerun', merge, ttlMs: 1_000 })
  const live = await runs.live(l)
  b.link.next('trigger', 'swallow')
  b.link.next('renew', { arrivesAfterMs: 1_500 })
  // It does not look between the two grants.
  c.link.fate = method => (method === 'watch' ? { arrivesAfterMs: 800 } : 'pass')
  const first = watch(runs.in('b', b).trigger(args('T1')))
  await world.clock.advance(1)
  const second = await runs.in('c', c).trigger(args('X'))
  live.end()
  for (let i = 0; i < 20; i++) await world.clock.advance(1_000)
  const results = [first.value, second].map(outcome => watch(outcome?.result() as Promise<string>))
  for (let i = 0; i < 10; i++) await world.clock.advance(1_000)
  const values = results.map(({ value }) => value?.split(' '))
  expect(values[0]).toContain('T1')
  expect(values[1]).toContain('X')
  expect(world.inUse()).toEqual([])
})

test('a trigger is sent again after its run was granted and lost: who left arguments with it does not take the next one for it', async () => {
  const { world } = use
  const [l, b, c] = [world.client(), world.client(), world.client()]
  const runs = new Runs({ onDuplicate: 'rerun', merge, ttlMs: 1_000 })
  const live = await runs.live(l)
  b.link.next('trigger', 'lose')
  b.link.next('trigger', { arrivesAfterMs: 1_500 })
  b.link.onPush = () => {}
  c.link.fate = method => (method === 'watch' ? { arrivesAfterMs: 800 } : 'pass')
  const first = watch(runs.in('b', b).trigger(args('T1')))
  await world.clock.advance(1)
  const second = await runs.in('c', c).trigger(args('X'))
  live.end()
  for (let i = 0; i < 20; i++) await world.clock.advance(1_000)
  const results = [first.value, second].map(outcome => watch(outcome?.result() as Promise<string>))
  for (let i = 0; i < 10; i++) await world.clock.advance(1_000)
  const values = results.map(({ value }) => value?.split(' '))
  expect(values[0]).toContain('T1')
  expect(values[1]).toContain('X')
  expect(world.inUse()).toEqual([])
})

test('neither the answer of who starts anew comes nor that of the repetition: its arguments are once in the run that has them', async () => {
  const { world } = use
  const [l, a, b] = [world.client(), world.client(), world.client({ callTimeoutMs: 1_000 })]
  const runs = new Runs({ onDuplicate: 'rerun', merge, ttlMs: 60_000 })
  const [inA, inB] = [runs.in('a', a), runs.in('b', b)]
  const live = await runs.live(l)
  const first = await inA.trigger(args('T1'))
  const [second, third] = await Promise.all([inB.trigger(args('X')), inB.trigger(args('Y'))])
  const results = [first, second, third].map(outcome => watch(outcome.result()))
  await world.clock.advance(1)
  const lock = jobLockNames('j', inA.key(args())).trigger
  const [pending] = world.waiters(lock)
  b.link.next('trigger', 'swallow', 'swallow', 'swallow', 'swallow')
  await l.solo.jobs.release(lock, String(pending))
  for (let i = 0; i < 10; i++) await world.clock.advance(1_000)
  live.end()
  for (let i = 0; i < 10; i++) await world.clock.advance(2_000)
  const values = results.map(({ value }) => value?.split(' ').sort())
  expect(values).toEqual(results.map(() => ['T1', 'X', 'Y']))
  expect(world.inUse()).toEqual([])
})
