import assert from 'node:assert/strict'
import { grantedTo, LONG_MS } from '../trial/client.js'
import { acquire, release, renew } from '../trial/steps.js'
import type { Suite } from '../trial/suite.js'

/** Steps that travel in one call. */
export function lists(suite: Suite): void {
  suite.test('no steps, no answers', async trial => {
    const a = await trial.client()
    const { steps, handed } = await a.backend.run([])
    assert.deepEqual([[...steps], [...handed]], [[], []])
  })

  suite.test('each step is answered by itself, in their order, whatever kinds they are of', async trial => {
    const [a, b] = await trial.clients(2)
    const [free, taken, held, released] = [a.claim('free'), a.claim('taken'), a.claim('held'), a.claim('released')]
    const [reader, theirs] = [a.shared('shared', 2), b.claim('taken')]
    await b.take(theirs)
    await a.take(held)
    await a.take(released)
    const [one, two, three, four, five, six] = await a.run([
      acquire(free),
      acquire(taken),
      renew(held),
      release(released),
      acquire(reader),
      renew(a.claim('never')),
    ])
    grantedTo(free, one)
    assert.ok(two.status === 'busy' && two.holder === theirs.owner, `${theirs.owner} holds it`)
    assert.equal(three.status, 'held')
    assert.deepEqual({ ...four }, { status: 'released', held: true })
    grantedTo(reader, five)
    assert.equal(six.status, 'lost')
    await b.assertHeldBy('free', free)
    await b.assertHeldBy('taken', theirs)
    await b.assertHeldBy('held', held)
    await b.assertFree('released')
    await b.assertHeldBy('shared', reader)
  })

  suite.test('a full list is done as a whole', async trial => {
    const [a, b] = await trial.clients(2)
    const claims = Array.from({ length: a.backend.mostSteps }, (_, i) => a.claim(`lock ${i}`))
    const taken = await a.run(claims.map(claim => acquire(claim)))
    assert.equal(new Set(claims.map((claim, i) => `${i} ${grantedTo(claim, taken[i] as never)}`)).size, claims.length)
    for (const claim of [claims[0], claims.at(-1)]) await b.assertHeldBy(claim?.name ?? '', claim as never)
    const given = await a.run(claims.map(claim => release(claim)))
    assert.ok(
      given.every(({ held }) => held),
      'each was held until its release',
    )
    for (const claim of [claims[0], claims.at(-1)]) await b.assertFree(claim?.name ?? '')
  })

  suite.test('steps of one lock in one list take effect in their order: taken and given back', async trial => {
    const [a, b] = await trial.clients(2)
    for (const mine of [a.claim('lock'), a.shared('shared', 2)]) {
      const [taken, given] = await a.run([acquire(mine), release(mine)])
      grantedTo(mine, taken)
      assert.equal(given.held, true, `${mine.owner} was given back what it got in the step before`)
      await b.assertFree(mine.name)
    }
  })

  suite.test(
    'steps of one lock in one list take effect in their order: given back and taken by the next',
    async trial => {
      const [a, b] = await trial.clients(2)
      const [first, second, third] = [a.claim('lock'), a.claim('lock'), a.claim('lock')]
      const fence = await a.take(first)
      const [given, taken, refused] = await a.run([release(first), acquire(second), acquire(third)])
      assert.equal(given.held, true)
      assert.ok(grantedTo(second, taken) > fence, 'the second grant has the higher fence')
      assert.equal(refused.status, 'busy')
      await b.assertHeldBy('lock', second)
    },
  )

  suite.test('steps of one lock in one list take effect in their order: the queue', async trial => {
    const [a, b] = await trial.clients(2)
    const [holder, first, second, third] = [a.claim('lock'), a.claim('lock'), a.claim('lock'), a.claim('lock')]
    await a.run([
      acquire(holder),
      acquire(first, { ticket: 'new' }),
      acquire(second, { ticket: 'new' }),
      acquire(third, { ticket: 'new' }),
      release(second),
    ])
    await b.assertHeldBy('lock', holder)
    await b.assertWaiting('lock', first, third)
    await a.run([release(holder), release(first)])
    await a.told(third)
    await b.assertHeldBy('lock', third)
    await b.assertWaiting('lock')
  })

  suite.test('a claim that is renewed and given back in one list is given back', async trial => {
    const [a, b] = await trial.clients(2)
    const [mine, other] = [a.claim('lock'), a.claim('other')]
    await a.take(mine)
    await a.take(other)
    const [renewed, given, lost] = await a.run([renew(mine), release(mine), renew(mine), renew(other)])
    assert.equal(renewed.status, 'held')
    assert.equal(given.held, true)
    assert.equal(lost.status, 'lost')
    await b.assertFree('lock')
    await b.assertHeldBy('other', other)
  })

  suite.test('a list that is sent again, since its answer was lost, changes nothing more', async trial => {
    const [a, b] = await trial.clients(2)
    const [free, held, released] = [a.claim('free'), a.claim('held'), a.claim('released')]
    const [queued, theirs, next] = [a.claim('busy'), b.claim('busy'), b.claim('released')]
    await b.take(theirs)
    await a.take(held)
    await a.take(released)
    await b.queue(next)
    const list = [acquire(free), renew(held), release(released), acquire(queued, { ticket: 'new' })] as const
    const [fence, , , place] = await a.run(list)
    const [again, renewed, given, place2] = await a.run(list)
    assert.ok(grantedTo(free, again) >= grantedTo(free, fence), 'a grant that is repeated has no lower fence')
    assert.equal(renewed.status, 'held')
    assert.equal(given.held, false, 'it was given back already')
    assert.ok(place.status === 'busy' && place2.status === 'busy')
    assert.equal(place2.ticket, place.ticket, `${queued.owner} keeps its ticket`)
    await b.told(next)
    await b.assertHeldBy('free', free)
    await b.assertHeldBy('held', held)
    await b.assertHeldBy('released', next)
    await b.assertHeldBy('busy', theirs)
    await b.assertWaiting('busy', queued)
  })

  suite.test('a release needs the name and the owner alone, whatever was claimed', async trial => {
    const [a, b] = await trial.clients(2)
    for (const mine of [
      a.claim('exclusive', { ttlMs: null, meta: 'with a meta' }),
      a.shared('shared'),
      a.shared('counted', 3),
    ]) {
      const { name, owner } = mine
      await a.take(mine)
      // Also by another client: it is an operator, or a program that was started anew.
      await b.give({ name, owner })
      await a.assertFree(name)
    }
    const [holder, waiting] = [a.claim('lock'), a.shared('lock', 2)]
    await a.take(holder)
    await a.queue(waiting)
    await b.giveNothing({ name: 'lock', owner: waiting.owner })
    await a.assertWaiting('lock')
  })

  suite.test('a claim that waits and is granted in a call of its own client has its own ttl', async trial => {
    const [a, b] = await trial.clients(2)
    const ttlMs = LONG_MS * 2
    for (const next of [a.claim('lock', { ttlMs }), a.shared('shared', 2, { ttlMs })]) {
      const holder = a.claim(next.name)
      await a.take(holder)
      await a.queue(next)
      await a.give(holder)
      const { by, fence } = await a.told(next)
      // A backend that tells it by a push has its confirmation start the ttl.
      if (by === 'push') await a.renewed(next, fence)
      const { holders, atMs } = await b.state(next.name)
      const leftMs = (holders[0]?.expiresAtMs ?? Number.NaN) - atMs
      assert.ok(leftMs > ttlMs / 2 && leftMs <= ttlMs, `${next.owner} has ${leftMs} ms of ${ttlMs} left`)
      assert.equal(holders[0]?.fence || fence, fence, 'inspect shows the fence that was told, or none before a renewal')
      await b.assertHeldBy(next.name, next)
    }
  })

  suite.test('a lock without a ttl that was waited for does not run out', async trial => {
    const [a, b] = await trial.clients(2)
    const [holder, next] = [a.claim('lock'), a.claim('lock', { ttlMs: null })]
    await a.take(holder)
    await a.queue(next)
    await a.give(holder)
    const { by, fence } = await a.told(next)
    if (by === 'push') await a.renewed(next, fence)
    assert.equal((await b.state('lock')).holders[0]?.expiresAtMs, null, `${next.owner} never runs out`)
  })
}
