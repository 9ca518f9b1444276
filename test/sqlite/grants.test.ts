import type { StoreEvent } from 'soloist'
import { describe, expect, test } from 'vitest'
import { Store } from '../../dist/backends/sqlite/store.js'
import {
  type Client,
  claim,
  closeClientsAfterEach,
  drivers,
  newPath,
  noRows,
  openClient,
  openRaw,
  rowCounts,
  temporaryFolder,
} from './support.js'

const folder = temporaryFolder()
closeClientsAfterEach()

/** Which comes first: the event, or the beat that would repair a lost one. */
async function beforeTheBeat(client: Client, event: Promise<StoreEvent>): Promise<StoreEvent | 'too late'> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'too late'>(resolve => {
    timer = setTimeout(resolve, client.backend.beatMs, 'too late')
  })
  return await Promise.race([event, late]).finally(() => clearTimeout(timer))
}

describe.each(drivers)('grants, through %s', driver => {
  const open = (path: string, client?: string) => openClient(path, driver, client === undefined ? {} : { client })

  test('a grant made by another connection is found without any call', async () => {
    const path = newPath(folder)
    const a = open(path)
    const b = open(path)
    await a.acquire(claim('job', 'first'))
    expect((await b.acquire(claim('job', 'second'), { ticket: 'new' })).status).toBe('busy')
    const event = b.next()
    await a.release(claim('job', 'first'))
    expect(await beforeTheBeat(b, event)).toMatchObject({ name: 'job', owner: 'second' })
    expect(await b.renew(claim('job', 'second'))).toMatchObject({ status: 'held' })
    expect(a.events).toEqual([])
  })

  test('a grant of the client that released is told in the answer, with its own ttl', async () => {
    const path = newPath(folder)
    const a = open(path)
    await a.acquire(claim('job', 'first'))
    await a.acquire(claim('job', 'second', { ttlMs: 40_000 }), { ticket: 'new' })
    await a.release(claim('job', 'first'))
    const state = await a.inspect('job')
    expect(a.handed).toEqual([{ name: 'job', owner: 'second', fence: state?.holders[0]?.fence }])
    const [holder] = state?.holders ?? []
    expect((holder?.expiresAtMs ?? 0) - (holder?.acquiredAtMs ?? 0)).toBe(40_000)
    expect(a.events).toEqual([])
    expect(rowCounts(path, driver)).toEqual({ ...noRows, alone: 1 })
  })

  test('a grant is delivered once, however often the database changes before it is confirmed', async () => {
    const path = newPath(folder)
    const a = open(path)
    const b = open(path)
    await a.acquire(claim('job', 'first'))
    await b.acquire(claim('job', 'second'), { ticket: 'new' })
    await a.acquire(claim('other', 'first'))
    await b.acquire(claim('other', 'third'), { ticket: 'new' })
    const event = b.next()
    await a.release(claim('job', 'first'))
    expect(await beforeTheBeat(b, event)).toMatchObject({ owner: 'second' })
    const another = b.next()
    await a.release(claim('other', 'first'))
    expect(await beforeTheBeat(b, another)).toMatchObject({ owner: 'third' })
    expect(b.events).toHaveLength(2)
  })

  test('shared claims at the head are granted together, as many as the limit of each allows', async () => {
    const path = newPath(folder)
    const a = open(path)
    const b = open(path)
    const shared = { mode: 'shared', limit: 3 } as const
    await a.acquire(claim('pool', 'writer'))
    for (const owner of ['r1', 'r2', 'r3', 'r4']) {
      await b.acquire(claim('pool', owner, shared), { ticket: 'new' })
    }
    const event = b.next()
    await a.release(claim('pool', 'writer'))
    await beforeTheBeat(b, event)
    expect(b.events).toMatchObject(['r1', 'r2', 'r3'].map(owner => ({ type: 'granted', owner })))
  })

  test('claims of a client that fell silent are passed over in the same step', async () => {
    const path = newPath(folder)
    const [a, dead, b] = [open(path), open(path, 'dead'), open(path)]
    await a.acquire(claim('job', 'first'))
    for (const owner of ['d1', 'd2', 'd3']) await dead.acquire(claim('job', owner), { ticket: 'new' })
    await b.acquire(claim('job', 'second'), { ticket: 'new' })
    const raw = openRaw(path, driver)
    const silentMs = 3 * a.backend.beatMs + 1
    raw.run('UPDATE soloist_client SET seen_ms = seen_ms - ? WHERE client = ?', silentMs, Buffer.from('dead'))
    raw.close()
    expect(await b.inspect('job')).toMatchObject({ waiting: 1, waiters: [{ owner: 'second' }] })
    const event = b.next()
    await a.release(claim('job', 'first'))
    expect(await beforeTheBeat(b, event)).toMatchObject({ owner: 'second' })
    expect(rowCounts(path, driver)).toEqual({ ...noRows, alone: 1, grant: 1 })
    await b.renew(claim('job', 'second'))
    expect(rowCounts(path, driver)).toEqual({ ...noRows, alone: 1 })
  })

  test('what the dead left behind is swept away by whoever takes a lock', async () => {
    const path = newPath(folder)
    const [a, b] = [open(path), open(path)]
    await a.acquire(claim('forgotten', 'holder'))
    await a.acquire(claim('pool', 'reader', { mode: 'shared', limit: 2 }))
    await a.acquire(claim('busy', 'holder', { ttlMs: null }))
    await a.acquire(claim('busy', 'dead', { mode: 'shared', limit: 7 }), { ticket: 'new' })
    await a.acquire(claim('handed', 'holder'))
    await b.acquire(claim('handed', 'dead'), { ticket: 'new' })
    await a.release(claim('handed', 'holder'))
    expect(rowCounts(path, driver)).toEqual({ ...noRows, alone: 3, shared: 1, grant: 1, waiting: 1, client: 1 })
    const raw = openRaw(path, driver)
    raw.run('UPDATE soloist_client SET seen_ms = seen_ms - ?', 3 * a.backend.beatMs + 1)
    for (const table of ['alone', 'shared']) raw.run(`UPDATE soloist_${table} SET expires_ms = expires_ms - 60001`)
    raw.close()
    const c = open(path)
    await c.acquire(claim('mine', 'owner'))
    expect(rowCounts(path, driver)).toEqual({ ...noRows, alone: 2 })
    await c.release(claim('mine', 'owner'))
    await a.release(claim('busy', 'holder'))
    expect(rowCounts(path, driver)).toEqual(noRows)
  })

  test('a sweep takes all that a silent client waits with for a lock, or nothing: it asks after its oldest claim alone', async () => {
    const path = newPath(folder)
    const [a, b] = [open(path, 'silent'), open(path)]
    const names = ['one', 'two', 'three']
    for (const name of names) {
      await b.acquire(claim(name, 'holder'))
      await b.acquire(claim(name, 'first'), { ticket: 1 })
      // Those that came back to their places: the oldest last.
      for (let i = 101; i > 1; i -= 1) await a.acquire(claim(name, `waiter ${i}`), { ticket: i })
    }
    const raw = openRaw(path, driver)
    raw.run(
      'UPDATE soloist_client SET seen_ms = seen_ms - ? WHERE client = ?',
      3 * a.backend.beatMs + 1,
      Buffer.from('silent'),
    )
    raw.close()
    const store = new Store('soloist:')
    const db = openRaw(path, driver)
    for (let sweeps = 0; sweeps < 5; sweeps += 1) {
      store.sweep(db)
      const waiting = db.all('SELECT count(*) AS count FROM soloist_waiting GROUP BY name')
      for (const { count } of waiting) expect([1, 101]).toContain(count)
    }
    db.close()
    expect(rowCounts(path, driver)).toEqual({ ...noRows, alone: 3, waiting: 3, client: 1 })
  })

  test('a sweep goes on where the last one stopped, whatever lies before it', async () => {
    const path = newPath(folder)
    const a = open(path)
    for (let i = 0; i < 300; i += 1) await a.acquire(claim(`kept-${i}`, 'holder', { ttlMs: null }))
    await a.acquire(claim('last', 'holder'))
    const raw = openRaw(path, driver)
    raw.run('UPDATE soloist_alone SET expires_ms = expires_ms - 60001 WHERE expires_ms IS NOT NULL')
    raw.close()
    const store = new Store('soloist:')
    const db = openRaw(path, driver)
    store.sweep(db)
    expect(rowCounts(path, driver)).toMatchObject({ alone: 301 })
    store.sweep(db)
    db.close()
    expect(rowCounts(path, driver)).toMatchObject({ alone: 300 })
  })
})
