import assert from 'node:assert/strict'
import type { Claim } from '../../backend.js'
import type { TrialClient } from '../trial/client.js'
import type { Suite } from '../trial/suite.js'

/** Strictly first come, first served, by ticket. */
export function fifo(suite: Suite): void {
  suite.test('claims are served in the order they came, whatever client they are of', async trial => {
    const [a, b, c] = await trial.clients(3)
    const holder = a.claim('lock')
    await a.take(holder)
    const line: Waiting[] = []
    for (const client of [b, c, c, b, a, c, b, a]) line.push(await waiting(client, 'lock'))
    const tickets = line.map(({ ticket }) => ticket)
    const rising = tickets.every((ticket, i) => i === 0 || ticket > (tickets[i - 1] as number))
    assert.ok(rising, `tickets should rise in the order the claims came: ${tickets}`)
    await a.assertWaiting('lock', ...line.map(({ claim }) => claim))
    await assertServed(a, holder, line)
  })

  suite.test('a claim that lost its place gets it back with its old ticket', async trial => {
    const [a, b, c] = await trial.clients(3)
    const holder = a.claim('lock')
    await a.take(holder)
    const [first, second, third] = [await waiting(b, 'lock'), await waiting(c, 'lock'), await waiting(b, 'lock')]
    await c.giveNothing(second.claim)
    await a.assertWaiting('lock', first.claim, third.claim)
    const back = await c.refused(second.claim, { ticket: second.ticket })
    assert.equal(back.ticket, second.ticket, `${second.claim.owner} keeps its ticket`)
    assert.equal(back.requeued, true, `${second.claim.owner} was no longer in the queue, and is told so`)
    await a.assertWaiting('lock', first.claim, second.claim, third.claim)
    const again = await c.refused(second.claim, { ticket: second.ticket })
    assert.equal(again.requeued, false, `${second.claim.owner} is in the queue by now`)
    await assertServed(a, holder, [first, second, third])
  })

  suite.test('a queue that was lost as a whole comes back in its order, whoever comes back first', async trial => {
    const [a, b, c] = await trial.clients(3)
    const holder = a.claim('lock')
    await a.take(holder)
    const line = [await waiting(b, 'lock'), await waiting(c, 'lock'), await waiting(b, 'lock')]
    for (const { client, claim } of line) await client.giveNothing(claim)
    await a.assertWaiting('lock')
    for (const { client, claim, ticket } of [...line].reverse()) await client.queue(claim, ticket)
    await a.assertWaiting('lock', ...line.map(({ claim }) => claim))
    await assertServed(a, holder, line)
  })

  suite.test('a claim may leave the queue from anywhere', async trial => {
    const [a, b, c] = await trial.clients(3)
    const holder = a.claim('lock')
    await a.take(holder)
    const line: Waiting[] = []
    for (const client of [b, c, b, c, b]) line.push(await waiting(client, 'lock'))
    const [head, second, middle, fourth, tail] = line as [Waiting, Waiting, Waiting, Waiting, Waiting]
    for (const { client, claim } of [middle, head, tail]) await client.giveNothing(claim)
    await a.assertHeldBy('lock', holder)
    await a.assertWaiting('lock', second.claim, fourth.claim)
    await assertServed(a, holder, [second, fourth])
    for (const { client, claim } of [head, middle, tail]) {
      const pushed = client.grants.some(push => push.owner === claim.owner)
      assert.equal(pushed, false, `${claim.owner} left the queue and should never be granted the lock`)
    }
  })

  suite.test('the last to leave the queue leaves nothing behind', async trial => {
    const [a, b] = await trial.clients(2)
    const holder = a.claim('lock')
    await a.take(holder)
    const { claim } = await waiting(b, 'lock')
    await b.giveNothing(claim)
    await a.give(holder)
    await a.assertFree('lock')
    assert.deepEqual(b.grants, [], `${claim.owner} left the queue and should never be granted the lock`)
  })

  suite.test('when a writer leaves the queue, the readers behind it join the readers before it', async trial => {
    const [a, b, c] = await trial.clients(3)
    const [reader, writer, late] = [a.shared('lock'), b.claim('lock'), c.shared('lock')]
    await a.take(reader)
    await b.queue(writer)
    await c.queue(late)
    await b.giveNothing(writer)
    await c.told(late)
    await a.assertHeldBy('lock', reader, late)
    await a.assertWaiting('lock')
  })
}

interface Waiting {
  readonly client: TrialClient
  readonly claim: Claim
  readonly ticket: number
}

async function waiting(client: TrialClient, name: string): Promise<Waiting> {
  const claim = client.claim(name)
  return { client, claim, ticket: await client.queue(claim) }
}

/** Releases the lock again and again, and asserts that each in the line owns it in its turn. */
async function assertServed(holding: TrialClient, holder: Claim, line: readonly Waiting[]): Promise<void> {
  let last = { client: holding, claim: holder }
  for (const next of line) {
    await last.client.give(last.claim)
    await next.client.told(next.claim)
    await holding.assertHeldBy(holder.name, next.claim)
    last = next
  }
  await last.client.give(last.claim)
  await holding.assertFree(holder.name)
}
