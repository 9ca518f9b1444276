import assert from 'node:assert/strict'
import type { LockState } from '../../backend.js'
import type { TrialClient } from '../trial/client.js'
import { shown } from '../trial/client.js'
import type { Suite } from '../trial/suite.js'

const SHORT_MS = 200

/** Every lock in use, by the start of its name. */
export function list(suite: Suite): void {
  suite.test('each lock that is held or waited for is listed once, as inspect shows it', async trial => {
    const [a, b] = await trial.clients(2)
    const [writer, waiting] = [a.claim('writer', { meta: 'writes' }), b.claim('writer')]
    const readers = [a.shared('readers', 5), b.shared('readers', 5)]
    await a.take(writer)
    await b.queue(waiting)
    for (const reader of readers) await a.take(reader)
    const states = await listed(b, '')
    assert.deepEqual(names(states), ['readers', 'writer'])
    for (const state of states) {
      const inspected = await b.state(state.name)
      const by = `${shown(state.name)} by list and by inspect`
      assert.deepEqual(timeless(state), timeless(inspected), by)
      state.holders.forEach((holder, i) => {
        const apartMs = (holder.expiresAtMs ?? Number.NaN) - (inspected.holders[i]?.expiresAtMs ?? Number.NaN)
        // Where a lease is kept as the time that is left, its end is a sum that is rounded.
        assert.ok(Math.abs(apartMs) <= 1, `${by}: the ends of a lease are ${apartMs} ms apart`)
      })
    }
  })

  suite.test('what was released or has run out is not listed', async trial => {
    const [a, b] = await trial.clients(2)
    const [held, released] = [a.claim('held'), a.claim('released')]
    const [expired, expiredShared] = [
      a.claim('expired', { ttlMs: SHORT_MS }),
      a.shared('shared', 2, { ttlMs: SHORT_MS }),
    ]
    for (const claim of [held, released, expired, expiredShared]) await a.take(claim)
    await a.give(released)
    await trial.outlast(SHORT_MS)
    assert.deepEqual(names(await listed(b, '')), ['held'])
  })

  suite.test('nothing in use, nothing listed', async trial => {
    const a = await trial.client()
    assert.deepEqual(await listed(a, ''), [])
  })

  suite.test('a prefix is the start of a name, not any part of it', async trial => {
    const a = await trial.client()
    for (const name of ['job', 'job/1', 'job/2', 'my job', 'jo', 'JOB/1', 'jobs']) await a.take(a.claim(name))
    assert.deepEqual(names(await listed(a, 'job')), ['job', 'job/1', 'job/2', 'jobs'])
    assert.deepEqual(names(await listed(a, 'job/')), ['job/1', 'job/2'])
    assert.deepEqual(names(await listed(a, 'job/1')), ['job/1'], 'a whole name is a prefix too')
    assert.deepEqual(names(await listed(a, 'job/1/')), [])
  })

  suite.test('a prefix is taken literally, whatever characters it has', async trial => {
    const a = await trial.client()
    const prefixes = ['*', '?', '[ab]', '[', ']', '[^a]', '[a-c]', '\\', '\\*', '^', '$', '.', '-', '%', '_', '{x}']
    prefixes.push("'", '"', ';', ' ', '\n', '\0', 'é', '🔒', '\u{10ffff}', '\uffff')
    const decoys = ['a', 'ab', 'b', '-a', 'AB', 'p', 'pa', 'pb/1', 'pc/1', 'p/1', 'P*/1', 'p!/1']
    for (const name of [...prefixes.map(prefix => `p${prefix}/1`), ...decoys]) await a.take(a.claim(name))
    for (const prefix of prefixes) {
      const expected = prefixes.filter(other => `p${other}/1`.startsWith(`p${prefix}`)).map(other => `p${other}/1`)
      assert.deepEqual(names(await listed(a, `p${prefix}`)), expected.sort(), `listed by ${shown(`p${prefix}`)}`)
    }
  })

  suite.test('many locks are all listed, each once', async trial => {
    const a = await trial.client()
    const many = Array.from({ length: 1_000 }, (_, i) => `many/${String(i).padStart(4, '0')}`)
    await Promise.all(many.map(name => a.take(a.claim(name))))
    assert.deepEqual(names(await listed(a, 'many/')), many)
  })

  suite.test('clients do not see each other where neither prefix begins with the other', async trial => {
    const a = await trial.client()
    const [star, plain] = [await trial.client(`${trial.prefix}*:`), await trial.client(`${trial.prefix}x:`)]
    const [mine, other] = [star.claim('lock'), plain.claim('lock')]
    await star.take(mine)
    await plain.take(other)
    await star.assertHeldBy('lock', mine)
    await plain.assertHeldBy('lock', other)
    assert.deepEqual(names(await listed(star, '')), ['lock'])
    assert.deepEqual(names(await listed(plain, '')), ['lock'])
    await star.give(mine)
    await star.assertFree('lock')
    assert.deepEqual(names(await listed(star, '')), [])
    await plain.assertHeldBy('lock', other)
    await a.assertFree('lock')
  })
}

async function listed(client: TrialClient, prefix: string): Promise<readonly LockState[]> {
  const states: LockState[] = []
  for await (const state of client.backend.list(prefix)) states.push(state)
  return states.sort((a, b) => (a.name < b.name ? -1 : 1))
}

function names(states: readonly LockState[]): readonly string[] {
  return states.map(({ name }) => name)
}

/** A lock's state without the times that are compared apart. */
function timeless({ holders, ...state }: LockState): object {
  return { ...state, atMs: 0, holders: holders.map(holder => ({ ...holder, expiresAtMs: 0 })) }
}
