import assert from 'node:assert/strict'
import { acquire, release, renew } from '../trial/steps.js'
import type { Suite } from '../trial/suite.js'

/** What closing a client ends, and what it does not. */
export function close(suite: Suite): void {
  suite.test('what is held stays held', async trial => {
    const [a, b] = await trial.clients(2)
    const [mine, shared] = [a.claim('lock'), a.shared('shared', 2)]
    await a.take(mine)
    await a.take(shared)
    await a.backend.close()
    await b.assertHeldBy('lock', mine)
    await b.assertHeldBy('shared', shared)
    await b.refused(b.claim('lock'))
  })

  suite.test('calls after it reject, and change nothing', async trial => {
    const [a, b] = await trial.clients(2)
    const mine = a.claim('lock')
    const fence = await a.take(mine)
    await a.backend.close()
    const { backend } = a
    const steps = [acquire(a.claim('other')), acquire(a.claim('lock'), { ticket: 'new' }), renew(mine), release(mine)]
    for (const step of steps) await assert.rejects(async () => await backend.run([step]), step.kind)
    await assert.rejects(async () => await backend.run(steps), 'a list')
    await assert.rejects(async () => await backend.results?.watch({ name: 'lock', owner: mine.owner }), 'watch')
    await assert.rejects(async () => await backend.inspect('lock'), 'inspect')
    await assert.rejects(async () => {
      for await (const state of backend.list('')) assert.fail(`listed ${state.name}`)
    }, 'list')
    await b.assertFree('other')
    await b.assertHeldBy('lock', mine)
    await b.assertWaiting('lock')
    await b.renewed(mine, fence)
  })

  suite.test('it is safe to call twice, also at once', async trial => {
    const a = await trial.client()
    await a.take(a.claim('lock'))
    await Promise.all([a.backend.close(), a.backend.close()])
    await a.backend.close()
  })

  suite.test('a client that was never used can be closed', async trial => {
    const a = await trial.client()
    await a.backend.close()
  })

  suite.test('other clients go on', async trial => {
    const [a, b, c] = await trial.clients(3)
    const [holder, next] = [b.claim('lock'), c.claim('lock')]
    await a.take(a.claim('mine'))
    await b.take(holder)
    await c.queue(next)
    await a.backend.close()
    await b.give(holder)
    await c.told(next)
    await c.assertHeldBy('lock', next)
  })
}
