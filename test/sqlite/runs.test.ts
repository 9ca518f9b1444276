import { describe, expect, test } from 'vitest'
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

const FOLLOW = { running: 'follow', pending: 'follow', begins: true } as const

describe.each(drivers)('runs, through %s', driver => {
  const open = (path: string, options: { prefix?: string; client?: string } = {}): Client =>
    openClient(path, driver, options)

  /** Lets time pass for what is in the file, as far as these tests have it there. */
  function pass(path: string, ms: number): void {
    const raw = openRaw(path, driver)
    raw.run('UPDATE soloist_client SET seen_ms = seen_ms - ?', ms)
    for (const table of ['alone', 'shared']) raw.run(`UPDATE soloist_${table} SET expires_ms = expires_ms - ?`, ms)
    raw.run('UPDATE soloist_run SET not_before_ms = not_before_ms - ?', ms)
    raw.run('UPDATE soloist_outcome SET until_ms = until_ms - ?', ms)
    raw.close()
  }

  test('a run leaves no row, and one without notes has none once it has begun', async () => {
    const path = newPath(folder)
    const a = open(path)
    const [plain, noted] = [claim('plain', 'run'), claim('noted', 'run')]
    await a.trigger(plain)
    expect(rowCounts(path, driver)).toEqual({ ...noRows, alone: 1 })
    await a.release(plain)
    await a.trigger(plain, FOLLOW)
    expect(rowCounts(path, driver)).toEqual({ ...noRows, alone: 1, run: 1 })
    await a.begin(plain)
    expect(rowCounts(path, driver)).toEqual({ ...noRows, alone: 1 })
    await a.trigger(noted, { ...FOLLOW, note: 'mine' })
    await a.trigger(claim('noted', 'adding'), { ...FOLLOW, note: 'adding' })
    await a.begin(noted)
    expect(rowCounts(path, driver)).toEqual({ ...noRows, alone: 2, run: 1, note: 2 })
    for (const run of [plain, noted]) await a.release(run)
    expect(rowCounts(path, driver)).toEqual(noRows)
  })

  test('what a run that was displaced leaves goes when its time is over', async () => {
    const path = newPath(folder)
    const a = open(path)
    const displace = { running: 'displace', pending: 'displace', begins: true, note: 'mine' } as const
    for (const owner of ['1', '2', '3']) await a.trigger(claim('job', owner), { ...displace, keepMs: 1 })
    expect(rowCounts(path, driver)).toMatchObject({ alone: 1, run: 1, note: 1 })
    await a.begin(claim('job', '3'))
    await a.release(claim('job', '3'))
    const raw = openRaw(path, driver)
    raw.run('UPDATE soloist_outcome SET until_ms = 0')
    raw.close()
    await open(path).release(claim('other', 'nobody'))
    expect(rowCounts(path, driver)).toEqual(noRows)
  })

  test('what a run that ran out leaves is swept away, with its notes', async () => {
    const path = newPath(folder)
    const [a, b] = [open(path), open(path)]
    await a.trigger(claim('alone', 'run'), { ...FOLLOW, note: 'mine' })
    await a.trigger(claim('pool', 'run', { mode: 'shared', limit: 2 }), { ...FOLLOW, note: 'mine' })
    await a.acquire(claim('busy', 'holder', { ttlMs: null }))
    await b.trigger(claim('busy', 'silent'), { ...FOLLOW, note: 'mine' })
    await b.trigger(claim('busy', 'adding'), { ...FOLLOW, note: 'adding' })
    expect(rowCounts(path, driver)).toMatchObject({ alone: 2, shared: 1, waiting: 1, run: 3, note: 4 })
    pass(path, 60_001)
    await open(path).release(claim('other', 'nobody'))
    // That one of them had not begun, and had the note of another.
    expect(rowCounts(path, driver)).toEqual({ ...noRows, alone: 1, outcome: 1 })
    pass(path, 60_001)
    await open(path).release(claim('other', 'nobody'))
    expect(rowCounts(path, driver)).toEqual({ ...noRows, alone: 1 })
  })

  test('a durable claim needs its client for nothing: a sweep neither drops it nor looks for its client', async () => {
    const path = newPath(folder)
    const [a, b] = [open(path), open(path, { client: 'gone' })]
    await a.acquire(claim('job', 'holder', { ttlMs: null }))
    await b.trigger(claim('job', 'durable', { durable: true }), { running: 'wait' })
    await b.acquire(claim('job', 'plain'), { ticket: 'new' })
    await b.backend.close()
    pass(path, 60_001)
    await open(path).release(claim('other', 'nobody'))
    expect(rowCounts(path, driver)).toEqual({ ...noRows, alone: 1, waiting: 1 })
    expect((await a.inspect('job'))?.waiters).toMatchObject([{ owner: 'durable', durable: true }])
  })

  test('a durable claim that a sweep grants is told to whoever swept, but not under another prefix', async () => {
    const path = newPath(folder)
    const [a, other] = [open(path), open(path, { prefix: 'other:' })]
    for (const client of [a, other]) {
      await client.acquire(claim('job', 'holder'))
      await client.trigger(claim('job', 'durable', { durable: true, ttlMs: 40_000 }), { running: 'wait' })
    }
    pass(path, 60_001)
    const sweeping = open(path)
    await sweeping.acquire(claim('mine', 'owner'))
    const [holder] = (await a.inspect('job'))?.holders ?? []
    expect(sweeping.handed).toEqual([{ name: 'job', owner: 'durable', fence: holder?.fence }])
    expect((holder?.expiresAtMs ?? 0) - (holder?.acquiredAtMs ?? 0)).toBeGreaterThan(39_000)
    expect(await other.inspect('job')).toMatchObject({ holding: 0, waiters: [{ owner: 'durable' }] })
    await open(path, { prefix: 'other:' }).release(claim('nothing', 'nobody'))
    expect(await other.inspect('job')).toMatchObject({ holders: [{ owner: 'durable' }], waiting: 0 })
    expect([a.events, other.events, a.handed, other.handed]).toEqual([[], [], [], []])
  })

  test('who asks for a durable claim that its own call sweeps is told of it in the answer alone', async () => {
    const path = newPath(folder)
    const a = open(path)
    await a.acquire(claim('job', 'holder'))
    const mine = claim('job', 'durable', { durable: true })
    await a.trigger(mine, { running: 'wait' })
    pass(path, 60_001)
    const sweeping = open(path)
    expect(await sweeping.trigger(mine, { running: 'wait' })).toMatchObject({ status: 'granted' })
    expect(sweeping.handed).toEqual([])
  })

  test('a durable run that was put off is granted by whoever sweeps after its time', async () => {
    const path = newPath(folder)
    const a = open(path)
    const run = claim('job', 'durable', { durable: true })
    const debounce = { waitMs: 60_000, maxWaitMs: 60_000 }
    expect(await a.trigger(run, { ...FOLLOW, debounce })).toMatchObject({ status: 'busy', holder: null })
    const early = open(path)
    await early.release(claim('other', 'nobody'))
    expect(early.handed).toEqual([])
    pass(path, 60_001)
    const sweeping = open(path)
    await sweeping.release(claim('other', 'nobody'))
    expect(sweeping.handed).toMatchObject([{ name: 'job', owner: 'durable' }])
    expect(await sweeping.begin(run)).toEqual({ status: 'begun', notes: [] })
  })

  test('a run of a process that has provably ended is none any more, and its notes are gone', async () => {
    const path = newPath(folder)
    const [a, dead] = [open(path), open(path, { client: 'dead' })]
    await dead.trigger(claim('job', 'dead', { endsWithProcess: true }), { ...FOLLOW, note: 'of the dead' })
    const raw = openRaw(path, driver)
    raw.run('UPDATE soloist_process SET started = started + 1 WHERE client = ?', Buffer.from('dead'))
    raw.close()
    const next = claim('job', 'next')
    expect(await a.trigger(next, { ...FOLLOW, note: 'mine' })).toMatchObject({
      status: 'granted',
      seen: { running: null, pending: null },
    })
    expect(await a.begin(next)).toEqual({ status: 'begun', notes: [{ owner: 'next', text: 'mine' }] })
  })
})
