import type { Backend, GrantEvent, PushedGrant } from 'soloist'
import { sqliteBackend } from 'soloist/sqlite'
import { afterEach, describe, expect, test } from 'vitest'
import { claim, drivers, newPath, noRows, openRaw, rowCounts, temporaryFolder } from './support.js'

const folder = temporaryFolder()
const opened: Backend[] = []

afterEach(async () => {
  await Promise.all(opened.splice(0).map(backend => backend.close()))
})

/** Which comes first: the event, or the beat that would repair a lost one. */
async function beforeTheBeat(backend: Backend, event: Promise<PushedGrant>): Promise<PushedGrant | 'too late'> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'too late'>(resolve => {
    timer = setTimeout(resolve, backend.beatMs, 'too late')
  })
  return await Promise.race([event, late]).finally(() => clearTimeout(timer))
}

describe.each(drivers)('grants, through %s', driver => {
  function open(path: string): { backend: Backend; events: GrantEvent[]; next: () => Promise<PushedGrant> } {
    const backend = sqliteBackend(path, { driver })
    opened.push(backend)
    const events: GrantEvent[] = []
    let notify = () => {}
    backend.onGrant(event => {
      events.push(event)
      notify()
    })
    const next = () =>
      new Promise<PushedGrant>(resolve => {
        notify = () => resolve(events.at(-1) as PushedGrant)
      })
    return { backend, events, next }
  }

  test('a grant made by another connection is found without any call', async () => {
    const path = newPath(folder)
    const a = open(path)
    const b = open(path)
    await a.backend.acquire(claim('job', 'first'))
    expect((await b.backend.acquire(claim('job', 'second'), { ticket: 'new' })).status).toBe('busy')
    const event = b.next()
    await a.backend.release(claim('job', 'first'))
    expect(await beforeTheBeat(b.backend, event)).toMatchObject({ name: 'job', owner: 'second', mode: 'exclusive' })
    expect(await b.backend.renew([claim('job', 'second')])).toMatchObject([{ status: 'held' }])
    expect(a.events).toEqual([])
  })

  test('a grant this backend made itself is delivered with the release', async () => {
    const path = newPath(folder)
    const { backend, events } = open(path)
    await backend.acquire(claim('job', 'first'))
    await backend.acquire(claim('job', 'second'), { ticket: 'new' })
    await backend.release(claim('job', 'first'))
    expect(events).toMatchObject([{ type: 'granted', name: 'job', owner: 'second' }])
  })

  test('a grant is delivered once, however often the database changes before it is confirmed', async () => {
    const path = newPath(folder)
    const a = open(path)
    const b = open(path)
    await a.backend.acquire(claim('job', 'first'))
    await b.backend.acquire(claim('job', 'second', { client: 'b' }), { ticket: 'new' })
    await a.backend.acquire(claim('other', 'first'))
    await b.backend.acquire(claim('other', 'third', { client: 'b' }), { ticket: 'new' })
    const event = b.next()
    await a.backend.release(claim('job', 'first'))
    expect(await beforeTheBeat(b.backend, event)).toMatchObject({ owner: 'second' })
    const another = b.next()
    await a.backend.release(claim('other', 'first'))
    expect(await beforeTheBeat(b.backend, another)).toMatchObject({ owner: 'third' })
    expect(b.events).toHaveLength(2)
  })

  test('shared claims at the head are granted together, each with the limit they agreed on', async () => {
    const path = newPath(folder)
    const a = open(path)
    const b = open(path)
    const shared = { mode: 'shared', limit: 3, client: 'b' } as const
    await a.backend.acquire(claim('pool', 'writer'))
    for (const owner of ['r1', 'r2', 'r3', 'r4']) {
      await b.backend.acquire(claim('pool', owner, shared), { ticket: 'new' })
    }
    const event = b.next()
    await a.backend.release(claim('pool', 'writer'))
    await beforeTheBeat(b.backend, event)
    expect(b.events).toMatchObject(['r1', 'r2', 'r3'].map(owner => ({ owner, mode: 'shared', limit: 3 })))
  })

  test('claims of a client that fell silent are passed over in the same step', async () => {
    const path = newPath(folder)
    const a = open(path)
    const b = open(path)
    await a.backend.acquire(claim('job', 'first', { client: 'a' }))
    for (const owner of ['d1', 'd2', 'd3']) {
      await a.backend.acquire(claim('job', owner, { client: 'dead' }), { ticket: 'new' })
    }
    await b.backend.acquire(claim('job', 'second'), { ticket: 'new' })
    const raw = openRaw(path, driver)
    const silentMs = 3 * a.backend.beatMs + 1
    raw.run('UPDATE soloist_client SET seen_ms = seen_ms - ? WHERE client = ?', silentMs, Buffer.from('dead'))
    raw.close()
    expect(await b.backend.inspect('job')).toMatchObject({ waiting: 1, waiters: [{ owner: 'second' }] })
    const event = b.next()
    await a.backend.release(claim('job', 'first', { client: 'a' }))
    expect(await beforeTheBeat(b.backend, event)).toMatchObject({ owner: 'second' })
    expect(rowCounts(path, driver)).toMatchObject({ waiter: 0, client: 0 })
  })

  test('what the dead left behind is swept away by whoever takes a lock', async () => {
    const path = newPath(folder)
    const a = open(path)
    await a.backend.acquire(claim('forgotten', 'holder'))
    await a.backend.acquire(claim('pool', 'reader', { mode: 'shared', limit: 2 }))
    await a.backend.acquire(claim('busy', 'holder', { ttlMs: null }))
    await a.backend.acquire(claim('busy', 'dead', { mode: 'shared', limit: 7 }), { ticket: 'new' })
    const raw = openRaw(path, driver)
    raw.run('UPDATE soloist_client SET seen_ms = seen_ms - ?', 3 * a.backend.beatMs + 1)
    raw.run('UPDATE soloist_holder SET expires_ms = expires_ms - ?', 60_001)
    raw.close()
    const b = open(path)
    await b.backend.acquire(claim('mine', 'owner'))
    expect(rowCounts(path, driver)).toEqual({ ...noRows, holder: 2, limit: 1 })
    await b.backend.release(claim('mine', 'owner'))
    await b.backend.release(claim('busy', 'holder', { ttlMs: null }))
    expect(rowCounts(path, driver)).toEqual(noRows)
  })
})
