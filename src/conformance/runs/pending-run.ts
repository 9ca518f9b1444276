import assert from 'node:assert/strict'
import type { Suite } from '../trial/suite.js'

/** At most one run of a lock is pending, however many ask at once. */
export function pendingRun(suite: Suite): void {
  suite.test('of many triggers at once one becomes the pending run, and the others add to it', async trial => {
    const clients = await trial.clients(4)
    const [a] = clients
    const run = await a.executing('lock')
    const follow = { running: 'follow', pending: 'follow' } as const
    const rounds = Array.from({ length: 25 }, (_, i) => i)
    const made = await Promise.all(
      clients.map(async client => {
        const told = []
        for (const i of rounds) {
          const claim = client.claim('lock')
          told.push({ claim, answer: await client.trigger(claim, { ...follow, note: `${client.id} ${i}` }) })
        }
        return told
      }),
    )
    const all = made.flat()
    const queued = all.filter(({ answer }) => answer.status === 'busy').map(({ claim }) => claim)
    assert.equal(queued.length, 1, `one run is pending, not ${queued.length}`)
    const [pending] = queued as [(typeof queued)[0]]
    for (const { answer } of all) if (answer.status === 'met') assert.equal(answer.noted, pending.owner)
    await a.assertPending('lock', pending, all.length)
    await a.assertWaiting('lock', pending)
    await a.give(run)
    const owner = clients.find(client => pending.owner.startsWith(client.id)) ?? a
    await owner.told(pending)
    const answer = await owner.begin(pending)
    assert.ok(answer.status === 'begun')
    assert.equal(answer.notes.length, all.length, 'each left its note once')
    for (const client of clients) {
      const texts: string[] = answer.notes.map(({ text }) => text).filter(text => text.startsWith(client.id))
      assert.deepEqual(
        texts,
        rounds.map(i => `${client.id} ${i}`),
        `the notes of ${client.id}, in their order`,
      )
    }
  })

  suite.test('of many triggers at once that take each other’s place one is left', async trial => {
    const clients = await trial.clients(4)
    const [a] = clients
    await a.executing('lock')
    const made = await Promise.all(
      clients.map(async client => {
        const claims = Array.from({ length: 10 }, () => client.claim('lock'))
        for (const claim of claims) await client.waits(claim, { running: 'displace', pending: 'displace' })
        return claims
      }),
    )
    const { pending, waiters, waiting } = await a.state('lock')
    assert.equal(waiting, 1, `one claim waits, not ${waiting}`)
    assert.equal(waiters[0]?.owner, pending?.owner, 'the one that waits is the pending run')
    const by = new Set<string>()
    for (const claim of made.flat()) {
      if (claim.owner === pending?.owner) continue
      const answer = await a.begin(claim)
      assert.ok(answer.status === 'displaced', `${claim.owner} should be displaced, not ${answer.status}`)
      by.add(answer.by)
    }
    assert.equal(by.size, 39, 'each was displaced by another')
  })

  suite.test('a run that takes the place of another is served where that one waited', async trial => {
    const [a, b] = await trial.clients(2)
    const run = await a.executing('lock')
    const [first, behind, second, third] = [a.claim('lock'), b.claim('lock'), a.claim('lock'), a.claim('lock')]
    const { ticket } = await a.waits(first, { running: 'displace' })
    await b.queue(behind)
    for (const next of [second, third]) {
      assert.equal((await a.waits(next, { pending: 'displace' })).ticket, ticket, 'the ticket goes with the place')
      await b.assertWaiting('lock', next, behind)
    }
    await a.give(run)
    await a.told(third)
    await b.assertHeldBy('lock', third)
    await b.assertWaiting('lock', behind)
    await b.assertPending('lock', third)
  })

  suite.test(
    'claims that wait for runs of their own become the pending one in turn, each with its note',
    async trial => {
      const [a, b] = await trial.clients(2)
      const run = await a.executing('lock')
      const [first, second, adding] = [a.claim('lock'), a.claim('lock'), b.claim('lock')]
      await a.waits(first, { running: 'wait', begins: true, note: 'first' })
      await a.assertPending('lock', first, 1)
      await a.waits(second, { pending: 'wait', begins: true, note: 'second' })
      await a.assertPending('lock', first, 1)
      await a.give(run)
      await a.told(first)
      await a.assertPending('lock', first, 1)
      await a.begins(first, [[first, 'first']])
      await a.assertPending('lock', second, 1)
      await b.meets(adding, { pending: 'follow', note: 'adding' }, second)
      await a.give(first)
      await a.told(second)
      await a.begins(second, [
        [second, 'second'],
        [adding, 'adding'],
      ])
      await a.assertPending('lock', null)
    },
  )

  suite.test(
    'who waits without a begin is no pending run, and who comes behind is once it is the first',
    async trial => {
      const [a, b] = await trial.clients(2)
      const run = await a.executing('lock')
      const [plain, next, third] = [a.claim('lock'), a.claim('lock'), b.claim('lock')]
      await a.queue(plain)
      await a.waits(next, { running: 'wait', begins: true })
      await a.assertPending('lock', null)
      await a.give(run)
      await a.told(plain)
      await a.assertHeldBy('lock', plain)
      await a.assertPending('lock', next)
      await b.meets(third, { pending: 'follow', note: 'third' }, next)
      await a.give(plain)
      await a.told(next)
      await a.begins(next, [[third, 'third']])
    },
  )

  suite.test('a pending run that is released is none any more, and its notes are gone', async trial => {
    const [a, b] = await trial.clients(2)
    const run = await a.executing('lock')
    const follow = { running: 'follow', pending: 'follow' } as const
    const [waiting, adding, next] = [a.claim('lock'), b.claim('lock'), b.claim('lock')]
    await a.waits(waiting, { ...follow, note: 'waiting' })
    await b.meets(adding, { ...follow, note: 'adding' }, waiting)
    await a.giveNothing(waiting)
    await a.assertPending('lock', null)
    await b.waits(next, { ...follow, note: 'next' })
    await a.assertPending('lock', next, 1)
    await b.listens(a)
    await a.give(run)
    await b.told(next)
    await b.begins(next, [[next, 'next']])
    const [granted, after] = [a.claim('other'), a.claim('other')]
    await a.starts(granted, { begins: true, note: 'granted' })
    await a.give(granted)
    await a.starts(after, { begins: true, note: 'after' })
    await a.begins(after, [[after, 'after']])
  })

  suite.test('a run that was granted beside a pending one begins with its own note', async trial => {
    const [a, b] = await trial.clients(2)
    const [first, second, third] = [a.shared('lock', 3), b.shared('lock', 3), b.shared('lock', 3)]
    await a.starts(first, { begins: true, note: 'first' })
    await b.starts(second, { begins: true, pending: 'follow', note: 'second' })
    await a.assertPending('lock', first, 1)
    await b.begins(second, [[second, 'second']])
    await a.begins(first, [[first, 'first']])
    await b.starts(third, { begins: true, note: 'third' })
    await a.assertPending('lock', third, 1)
    await b.begins(second, [[second, 'second']])
    await a.assertHeldBy('lock', first, second, third)
  })

  suite.test('what is left with the pending run later does not reach a run that was granted beside it', async trial => {
    const [a, b] = await trial.clients(2)
    const [first, second, adding] = [a.shared('lock', 2), b.shared('lock', 2), a.shared('lock', 2)]
    const follow = { running: 'follow', pending: 'follow' } as const
    await a.starts(first, { ...follow, begins: true, note: 'first' })
    await b.starts(second, { ...follow, begins: true, note: 'second' })
    await a.meets(adding, { ...follow, note: 'adding' }, first)
    await b.begins(second, [[second, 'second']])
    const notes = [
      [first, 'first'],
      [adding, 'adding'],
    ] as const
    await a.begins(first, notes)
    await b.give(second)
    await a.begins(first, notes)
  })
}
