import { once } from 'node:events'
import { setImmediate as immediate, setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Stage } from '../../faults/support.js'
import { queued, storeFault, storeFaults } from './support.js'

// A connection that goes silent: no end comes, and no reset. A host died, a firewall forgot it, a process was stopped. New
// connections work.

test('the silent connection of a URL is replaced: the call is answered, the lease is kept, and a fault tells why', async () => {
  await using stage = await Stage.open()
  const solo = stage.behindProxy()
  const lease = await solo.lock('held', { ttlMs: 60_000 })
  stage.proxy.silence('commands')
  const fault = storeFault(solo)
  await lease.renew()
  expect(await fault).toMatchObject({
    name: null,
    error: { code: 'BACKEND_UNAVAILABLE', message: expect.stringContaining('commands is replaced') },
  })
  expect(await stage.owner('held')).toBe(lease.owner)
  await lease.release()
  expect(await stage.owner('held')).toBe(null)
})

test('a silent connection is replaced also when each call gives up sooner, and each time it is silent', async () => {
  await using stage = await Stage.open()
  const solo = stage.behindProxy({ callTimeoutMs: 1_900 })
  await (await solo.lock('warm-up')).release()
  for (let i = 0; i < 2; i++) {
    stage.proxy.silence('commands')
    const fault = storeFault(solo)
    await expect(solo.tryLock('a')).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    await fault
    await (await solo.lock('a', { waitMs: 20_000 })).release()
  }
})

test('a first connection that is accepted and never greeted is replaced within the call', async () => {
  await using stage = await Stage.open()
  const silent = stage.proxy.silenceNext()
  const solo = stage.behindProxy({ callTimeoutMs: 10_000 })
  const lease = await solo.lock('a')
  await silent.hit
  expect(await stage.owner('a')).toBe(lease.owner)
})

test('a server that is stopped fails each call in time, and is used again when it goes on', async () => {
  await using stage = await Stage.open()
  const solo = stage.direct()
  await (await solo.lock('warm-up')).release()
  process.kill(stage.server.pid, 'SIGSTOP')
  try {
    const late = sleep(12_000, 'too late' as const, { ref: false })
    const failed = solo.tryLock('a').then(
      () => 'granted' as const,
      error => error.code,
    )
    expect(await Promise.race([failed, late])).toBe('BACKEND_UNAVAILABLE')
  } finally {
    process.kill(stage.server.pid, 'SIGCONT')
  }
  const lease = await solo.lock('b', { waitMs: 20_000, ttlMs: 60_000 })
  expect(await stage.owner('b')).toBe(lease.owner)
})

test('a connection for pushes that was dropped without a word to the client is replaced: its waiter has its turn', async () => {
  await using stage = await Stage.open()
  const victim = stage.behindProxy()
  const others = [stage.direct(), stage.direct()] as const
  const held = await stage.direct().lock('warm-up')
  const { granted } = await queued(victim, 'warm-up')
  await held.release()
  await (await granted).release()
  await stage.proxy.cutPushesBehind()
  // Two others take turns all the while: who is not heard of never comes between them.
  const first = await others[0].lock('x')
  const stop = new AbortController()
  const turns = others.map(async solo => {
    while (!stop.signal.aborted) await solo.withLock('x', () => sleep(5))
  })
  await Promise.all(others.map(solo => once(solo, 'waiting')))
  const fault = storeFault(victim)
  const waits = await queued(victim, 'x')
  await first.release()
  const lease = await waits.granted
  expect(await stage.owner('x')).toBe(lease.owner)
  expect(await fault).toMatchObject({ error: { message: expect.stringContaining('pushes is replaced') } })
  stop.abort()
  await lease.release()
  await Promise.all(turns)
})

test('a connection for pushes that is silent both ways is noticed while a claim waits, and replaced', async () => {
  await using stage = await Stage.open()
  const [solo, direct] = [stage.behindProxy(), stage.direct()]
  const held = await direct.lock('x', { ttlMs: 60_000 })
  const { granted } = await queued(solo, 'x')
  await stage.hears(solo, 'x')
  stage.proxy.silence('pushes')
  const { error } = await storeFault(solo)
  expect(error).toMatchObject({ message: expect.stringContaining('pushes is replaced') })
  await held.release()
  const lease = await granted
  expect(await stage.owner('x')).toBe(lease.owner)
})

test('a first connection for pushes that never answers is replaced within the call that waits', async () => {
  await using stage = await Stage.open()
  const [solo, direct] = [stage.behindProxy({ callTimeoutMs: 10_000 }), stage.direct()]
  await (await solo.lock('warm-up')).release()
  const held = await direct.lock('x', { ttlMs: 60_000 })
  const silent = stage.proxy.silenceNext()
  const { granted } = await queued(solo, 'x')
  await silent.hit
  await held.release()
  const lease = await granted
  expect(await stage.owner('x')).toBe(lease.owner)
})

test('a process that is held up while its subscription is confirmed does not take its own pause for silence', async () => {
  await using stage = await Stage.open()
  // node-redis itself gives a connection longer than this pause to be opened.
  const [solo, direct] = [await stage.nodeRedisBehindProxy(), stage.direct()]
  await (await solo.lock('warm-up')).release()
  await direct.lock('x', { ttlMs: 60_000 })
  const faults = storeFaults(solo)
  const { granted } = await queued(solo, 'x')
  const ended = expect(granted).rejects.toMatchObject({ code: 'CLOSED' })
  // From here on its subscription is under way.
  await immediate()
  const until = performance.now() + 3_000
  while (performance.now() < until);
  await stage.hears(solo, 'x')
  expect(faults).toEqual([])
  await solo.close()
  await ended
})

test('a call that was sent twice, and arrives late the first time, leaves nothing behind', async () => {
  await using stage = await Stage.open()
  const solo = stage.behindProxy()
  await (await solo.lock('warm-up')).release()
  stage.proxy.blackhole()
  const acquiring = solo.lock('x', { ttlMs: 60_000, waitMs: 20_000 }).catch(error => error)
  await storeFault(solo)
  stage.proxy.heal()
  const lease = await acquiring
  await lease.release()
  // A call that has been answered shows that what was sent before has arrived.
  await (await solo.lock('y')).release()
  expect(await stage.owner('x')).toBe(null)
})

test('a fault is told once until the connection is well again', async () => {
  await using stage = await Stage.open()
  const solo = stage.behindProxy({ callTimeoutMs: 1_900 })
  await (await solo.lock('warm-up')).release()
  const faults = storeFaults(solo)
  stage.proxy.blackhole()
  for (let i = 0; i < 5; i++) await solo.tryLock('x').catch(() => {})
  stage.proxy.heal()
  await expect
    .poll(() =>
      solo
        .tryLock('y')
        .then(lease => lease?.release())
        .catch(() => 'no'),
    )
    .toBe(undefined)
  expect(faults.filter(message => message.includes('commands'))).toHaveLength(1)
})

test('nothing is left after close() in the middle of a silence', async () => {
  await using stage = await Stage.open()
  const [solo, direct] = [stage.behindProxy({ callTimeoutMs: 3_000 }), stage.direct()]
  await direct.lock('x', { ttlMs: 60_000 })
  const waiting = expect(solo.lock('x')).rejects.toMatchObject({ code: 'CLOSED' })
  await once(solo, 'waiting')
  stage.proxy.blackhole()
  await solo.tryLock('y').catch(() => {})
  await solo.close()
  await waiting
  stage.proxy.heal()
  await expect.poll(() => stage.proxy.connections).toBe(0)
})
