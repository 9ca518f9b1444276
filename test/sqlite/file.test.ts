import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type Step } from 'soloist'
import { type SqliteDriver, sqliteBackend } from 'soloist/sqlite'
import { describe, expect, test } from 'vitest'
import { Store } from '../../dist/backends/sqlite/store.js'
import { Transactions } from '../../dist/backends/sqlite/transactions.js'
import {
  type Client,
  claim,
  closeClientsAfterEach,
  drivers,
  newPath,
  openClient,
  openRaw,
  temporaryFolder,
  until,
} from './support.js'

const folder = temporaryFolder()
closeClientsAfterEach()

function open(path: string, driver: SqliteDriver): Client {
  return openClient(path, driver)
}

/** More than the time for which a look at the files counts. */
const LOOK_MS = 5

function removeDatabase(path: string): void {
  for (const end of ['', '-wal', '-shm']) rmSync(path + end, { force: true })
}

/** The low byte of SQLite's result code, as either driver gives it. */
function resultCode(error: unknown): number {
  const { errcode, rawCode } = error as { errcode?: number; rawCode?: number }
  return (errcode ?? rawCode ?? 0) & 0xff
}

describe.each(drivers)('the database file, through %s', driver => {
  test('is made at the first call, with its folders, for this user alone', async () => {
    const path = join(dirname(newPath(folder)), 'state', 'soloist', 'soloist.db')
    const client = open(path, driver)
    expect(existsSync(dirname(path))).toBe(false)
    await client.acquire(claim('job', 'owner'))
    expect(statSync(dirname(path)).mode & 0o777).toBe(0o700)
    for (const file of readdirSync(dirname(path))) {
      expect([file, statSync(join(dirname(path), file)).mode & 0o777]).toEqual([file, 0o600])
    }
  })

  test('that is there keeps its mode', async () => {
    const path = newPath(folder)
    writeFileSync(path, '', { mode: 0o640 })
    await open(path, driver).acquire(claim('job', 'owner'))
    expect(statSync(path).mode & 0o777).toBe(0o640)
  })

  const ways: Record<string, (path: string) => Promise<void>> = {
    deleted: async path => removeDatabase(path),
    'deleted, but not its side files': async path => rmSync(path),
    replaced: async path => {
      const other = newPath(folder)
      const replacement = open(other, driver)
      await replacement.acquire(claim('job', 'somebody'))
      await replacement.release(claim('job', 'somebody'))
      await replacement.backend.close()
      removeDatabase(path)
      for (const end of ['', '-wal']) if (existsSync(other + end)) renameSync(other + end, path + end)
    },
  }

  test.each(Object.entries(ways))(
    'when it is %s, one call rejects and the next works on the new one',
    async (_, act) => {
      const path = newPath(folder)
      const client = open(path, driver)
      const { events } = client
      const before = await client.acquire(claim('job', 'before'))
      await act(path)
      await sleep(LOOK_MS)
      await expect(client.renew(claim('job', 'before'))).rejects.toThrow('was deleted or replaced')
      await until(() => events.length > 0)
      expect(events).toEqual([{ type: 'gap' }])
      expect(await client.renew(claim('job', 'before'))).toEqual({ status: 'lost' })
      const after = await client.acquire(claim('job', 'after'))
      expect(before).toMatchObject({ status: 'granted' })
      expect(after).toMatchObject({ status: 'granted' })
      if (before.status === 'granted' && after.status === 'granted') expect(after.fence).toBeGreaterThan(before.fence)
    },
  )

  test('when it alone is deleted, it is noticed also by who calls all the time', async () => {
    const path = newPath(folder)
    const client = open(path, driver)
    const call = async () => {
      await client.acquire(claim('job', 'owner'))
      await client.release(claim('job', 'owner'))
    }
    await call()
    rmSync(path)
    const endMs = performance.now() + 20_000
    const calls = async () => {
      while (performance.now() < endMs) await call()
    }
    await expect(calls()).rejects.toThrow('was deleted or replaced')
  })

  test.each([
    ['made here', 1_024],
    ['made by an older version', 4_096],
  ])('%s has a log that stays small, however much is written', async (_, pageBytes) => {
    const path = newPath(folder)
    if (pageBytes !== 1_024) {
      const raw = openRaw(path, driver)
      raw.exec(`PRAGMA page_size = ${pageBytes}; PRAGMA journal_mode = WAL; CREATE TABLE other (x)`)
      raw.close()
    }
    const client = open(path, driver)
    for (let i = 0; i < 5_000; i += 1) {
      await client.acquire(claim(`lock ${i}`, 'owner'))
      if (i % 2 === 0) await client.release(claim(`lock ${i}`, 'owner'))
    }
    const logBytes = statSync(`${path}-wal`).size
    expect(logBytes).toBeGreaterThan(2 * 1_024 * 1_024)
    expect(logBytes).toBeLessThan(5 * 1_024 * 1_024)
    const raw = openRaw(path, driver)
    expect(raw.get('PRAGMA page_size')?.page_size).toBe(pageBytes)
    raw.close()
  })

  test('when its write-ahead log is deleted, each client has one call rejected, and what was held stays held', async () => {
    const path = newPath(folder)
    const [a, b] = [open(path, driver), open(path, driver)]
    await a.acquire(claim('job', 'before'))
    expect(await b.acquire(claim('job', 'other'))).toMatchObject({ status: 'busy', holder: 'before' })
    rmSync(`${path}-wal`)
    await sleep(LOOK_MS)
    for (const client of [a, b]) {
      await expect(client.renew(claim('job', 'before'))).rejects.toThrow('was deleted or replaced')
      await until(() => client.events.length > 0)
      expect(client.events).toEqual([{ type: 'gap' }])
    }
    expect(await b.acquire(claim('job', 'other'))).toMatchObject({ status: 'busy', holder: 'before' })
    expect(await a.renew(claim('job', 'before'))).toMatchObject({ status: 'held' })
    expect(await a.release(claim('job', 'before'))).toMatchObject({ held: true })
    expect(await b.acquire(claim('job', 'other'))).toMatchObject({ status: 'granted' })
    expect((await a.inspect('job'))?.holders.map(({ owner }) => owner)).toEqual(['other'])
  })

  test('when it is deleted, a holder is told within a renewal and those that wait go on', async () => {
    const path = newPath(folder)
    const holding = connect(sqliteBackend(path, { driver }))
    const waiting = connect(sqliteBackend(path, { driver }))
    const lease = await holding.lock('job', { ttlMs: 12_000 })
    const lost = new Promise<unknown>(resolve => {
      lease.signal.addEventListener('abort', () => resolve(lease.signal.reason), { once: true })
    })
    const next = waiting.lock('job', { waitMs: 20_000 })
    await until(async () => (await holding.inspect('job'))?.waiting === 1)
    expect(lease.signal.aborted).toBe(false)
    removeDatabase(path)
    // After four seconds, give or take a tenth, a renewal meets the fault, and the next one learns what became of the lock. By
    // its own deadline the lease would have run out after nearly twelve.
    const message = expect.stringContaining('is not held by this lease any more')
    expect(await lost).toMatchObject({ code: 'LEASE_LOST', message })
    const held = await next
    expect((await waiting.inspect('job'))?.holders.map(({ owner }) => owner)).toEqual([held.owner])
    expect(held.fence).toBeGreaterThan(lease.fence)
    await Promise.all([holding.close(), waiting.close()])
  })

  test('that is no database is left as it is, and is the cause of a fault', async () => {
    const path = newPath(folder)
    writeFileSync(path, 'this is no database '.repeat(500))
    await using solo = connect(sqliteBackend(path, { driver }))
    const error = await solo.tryLock('job').catch((error: unknown) => error)
    expect(error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    expect(resultCode((error as Error).cause)).toBe(26)
    expect(statSync(path).size).toBe(10_000)
  })

  test('of a later version is refused, and left as it is', async () => {
    const path = newPath(folder)
    await open(path, driver).inspect('job')
    const raw = openRaw(path, driver)
    raw.exec('UPDATE soloist_store SET version = 5; DROP TABLE soloist_outcome')
    await expect(open(path, driver).inspect('job')).rejects.toThrow('made by another version of Soloist')
    expect(raw.get("SELECT count(*) AS n FROM sqlite_schema WHERE name = 'soloist_outcome'")).toMatchObject({ n: 0 })
    raw.exec('BEGIN IMMEDIATE')
    raw.close()
  })

  test('of version 2 is upgraded: what is held stays held, and the older version grants nothing any more', async () => {
    const path = newPath(folder)
    const older = openRaw(path, driver)
    older.exec(VERSION_2)
    const laterMs = Date.now() + 60_000
    const insert = 'INSERT INTO soloist_holder VALUES (?, ?, ?, ?, ?, ?, ?, 0, NULL)'
    const row = (name: string, owner: string, exclusive: 0 | 1, fence: number) =>
      older.run(insert, ...[name, owner, 'old'].map(text => Buffer.from(text)), exclusive, fence, 0, laterMs)
    row('soloist:job', 'old', 1, 7)
    row('soloist:pool', 'a', 0, 8)
    row('soloist:pool', 'b', 0, 9)
    const client = open(path, driver)
    expect(await client.acquire(claim('job', 'new'))).toMatchObject({ status: 'busy', holder: 'old' })
    const third = claim('pool', 'c', { mode: 'shared', limit: 2 })
    expect(await client.acquire(third)).toMatchObject({ status: 'busy', holder: 'a' })
    expect(() => row('soloist:other', 'old', 1, 10)).toThrow('soloist_holder')
    expect(await client.release({ name: 'job', owner: 'old' }, { text: 'done', keepMs: 60_000 })).toMatchObject({
      held: true,
    })
    expect(await client.watch('job', 'old')).toEqual({ status: 'result', text: 'done' })
    expect(older.get('SELECT version FROM soloist_store')).toMatchObject({ version: 4 })
    older.close()
  })

  test('of version 3 is upgraded: what is held and what was left stays, and the older version grants nothing', async () => {
    const path = newPath(folder)
    const older = openRaw(path, driver)
    older.exec(VERSION_3)
    const laterMs = Date.now() + 60_000
    const text = (...texts: readonly string[]) => texts.map(text => Buffer.from(text))
    const take = (name: string, owner: string) => {
      older.run('INSERT INTO soloist_lock VALUES (?, ?, 7, ?, NULL, NULL)', ...text(`soloist:${name}`, owner), laterMs)
    }
    take('job', 'old')
    older.run('INSERT INTO soloist_shared VALUES (?, ?, 2, 8, ?, NULL, NULL)', ...text('soloist:pool', 'a'), laterMs)
    const wait = 'INSERT INTO soloist_queue VALUES (1, ?, 1, ?, ?, 1, NULL, 60000, NULL, 0)'
    older.run(wait, ...text('soloist:job', 'waiter', 'client'))
    const leave = (owner: string, result: string) => {
      const sql = 'INSERT INTO soloist_result (name, owner, until_ms, text) VALUES (?, ?, ?, ?)'
      older.run(sql, ...text('soloist:job', owner), laterMs, ...text(result))
    }
    leave('before', 'done')
    const client = open(path, driver)
    expect(await client.watch('job', 'before')).toEqual({ status: 'result', text: 'done' })
    expect(await client.watch('job', 'old')).toEqual({ status: 'live' })
    expect(await client.inspect('job')).toMatchObject({ holders: [{ owner: 'old', fence: 7 }], waiting: 0 })
    const shared = (owner: string) => claim('pool', owner, { mode: 'shared', limit: 2 })
    expect(await client.acquire(shared('b'))).toMatchObject({ status: 'granted' })
    expect(await client.acquire(shared('c'))).toMatchObject({ status: 'busy', holder: 'a' })
    // An older process that has the file open.
    expect(() => take('other', 'old')).toThrow('soloist_lock')
    expect(() => leave('other', 'late')).toThrow('soloist_result')
    expect(() => older.run(wait, ...text('soloist:job', 'late', 'client'))).toThrow('soloist_queue')
    expect(older.get('SELECT version, fence > 9 AS risen FROM soloist_store')).toMatchObject({ version: 4, risen: 1 })
    older.close()
    const next = claim('job', 'next', { durable: true })
    const follow = { running: 'follow', begins: true, note: 'mine' } as const
    expect(await client.trigger(next, follow)).toMatchObject({ status: 'busy', seen: { running: { owner: 'old' } } })
    expect(await client.release({ name: 'job', owner: 'old' })).toMatchObject({ held: true })
    expect(client.handed).toMatchObject([{ name: 'job', owner: 'next' }])
    expect(await client.begin(next)).toEqual({ status: 'begun', notes: [{ owner: 'next', text: 'mine' }] })
  })

  test('that is a folder, or lies under a file, is a fault; once it can be made, the same backend works', async () => {
    const path = newPath(folder)
    mkdirSync(path)
    const client = open(path, driver)
    await expect(client.acquire(claim('job', 'owner'))).rejects.toThrow()
    rmSync(path, { recursive: true })
    expect(await client.acquire(claim('job', 'owner'))).toMatchObject({ status: 'granted' })
    await expect(open(join(path, 'under.db'), driver).inspect('job')).rejects.toThrow()
  })

  test('work that fails half way is undone, and the next works', async () => {
    const path = newPath(folder)
    const store = new Store('soloist:')
    const transactions = new Transactions(
      path,
      path => openRaw(path, driver),
      () => {},
    )
    const failing = transactions.run('write', db => {
      store.run(db, 'c', [acquire('half')])
      throw new Error('half way')
    })
    await expect(failing).rejects.toThrow('half way')
    const { steps } = await transactions.run('write', db => store.run(db, 'c', [acquire('whole')]))
    expect(steps).toMatchObject([{ status: 'granted' }])
    transactions.close()
  })

  test('a step that fails harms no other of its list', async () => {
    const path = newPath(folder)
    const client = open(path, driver)
    await client.inspect('anything')
    const raw = openRaw(path, driver)
    raw.exec(`CREATE TRIGGER poisoned BEFORE INSERT ON soloist_alone WHEN NEW.owner = CAST('bad' AS BLOB)
              BEGIN SELECT RAISE(ABORT, 'poisoned'); END`)
    raw.close()
    const { steps } = await client.backend.run(['a', 'bad', 'b'].map(owner => acquire(owner, `lock-${owner}`)))
    expect(steps).toMatchObject([{ status: 'granted' }, { status: 'fault' }, { status: 'granted' }])
    const owners: (string | undefined)[] = []
    for (const owner of ['a', 'bad', 'b']) owners.push((await client.inspect(`lock-${owner}`))?.holders[0]?.owner)
    expect(owners).toEqual(['a', undefined, 'b'])
  })

  test('when it is full, a step changes nothing, and what was held can still be released', async () => {
    const path = newPath(folder)
    const client = open(path, driver)
    await client.acquire(claim('held', 'owner'))
    let db: ReturnType<typeof openRaw> | undefined
    const openFull = (path: string) => {
      db = openRaw(path, driver)
      db.exec('PRAGMA max_page_count = 1')
      return db
    }
    const store = new Store('soloist:')
    const transactions = new Transactions(path, openFull, () => {})
    const big = acquire('owner', 'big', 'x'.repeat(20_000))
    const error = await transactions.run('write', db => store.run(db, 'c', [big])).catch((error: unknown) => error)
    expect(resultCode(error)).toBe(13)
    expect(db?.inTransaction).toBe(false)
    expect(await client.inspect('big')).toBeNull()
    expect((await client.inspect('held'))?.holders.map(({ owner }) => owner)).toEqual(['owner'])
    const release: Step = { kind: 'release', name: 'held', owner: 'owner', result: null }
    const { steps } = await transactions.run('write', db => store.run(db, 'c', [release]))
    expect(steps).toEqual([{ status: 'released', held: true }])
    expect(await client.inspect('held')).toBeNull()
    transactions.close()
  })
})

function acquire(owner: string, name = 'job', meta: string | null = null): Step {
  return { kind: 'acquire', claim: claim(name, owner, { meta }), ticket: null, replaces: null }
}

/** The tables of the version before, as far as they were read. */
const VERSION_2 = `
  CREATE TABLE soloist_store (id INTEGER PRIMARY KEY, version INTEGER NOT NULL, fence INTEGER NOT NULL) STRICT;
  INSERT INTO soloist_store VALUES (1, 2, 9);
  CREATE TABLE soloist_holder (name BLOB NOT NULL, owner BLOB NOT NULL, client BLOB NOT NULL, exclusive INTEGER NOT NULL,
    fence INTEGER NOT NULL, acquired_ms INTEGER NOT NULL, expires_ms INTEGER, pushed INTEGER NOT NULL, meta BLOB,
    PRIMARY KEY (name, owner)) STRICT, WITHOUT ROWID;
  CREATE TABLE soloist_waiter (id INTEGER PRIMARY KEY, name BLOB NOT NULL, client BLOB NOT NULL) STRICT;
  CREATE TABLE soloist_limit (name BLOB PRIMARY KEY, most INTEGER) STRICT, WITHOUT ROWID;
  INSERT INTO soloist_limit VALUES (CAST('soloist:pool' AS BLOB), 2);
`

/** The tables of version 3, but for its indexes. */
const VERSION_3 = `
  CREATE TABLE soloist_store (id INTEGER PRIMARY KEY, version INTEGER NOT NULL, fence INTEGER NOT NULL) STRICT;
  INSERT INTO soloist_store VALUES (1, 3, 9);
  CREATE TABLE soloist_lock (name BLOB PRIMARY KEY, owner BLOB NOT NULL, fence INTEGER NOT NULL, expires_ms INTEGER,
    meta BLOB, client BLOB) STRICT, WITHOUT ROWID;
  CREATE TABLE soloist_shared (name BLOB NOT NULL, owner BLOB NOT NULL, most INTEGER, fence INTEGER NOT NULL,
    expires_ms INTEGER, meta BLOB, client BLOB, PRIMARY KEY (name, owner)) STRICT, WITHOUT ROWID;
  CREATE TABLE soloist_grant (name BLOB NOT NULL, owner BLOB NOT NULL, client BLOB NOT NULL, fence INTEGER NOT NULL,
    PRIMARY KEY (name, owner)) STRICT, WITHOUT ROWID;
  CREATE TABLE soloist_queue (id INTEGER PRIMARY KEY, name BLOB NOT NULL, ticket INTEGER NOT NULL, owner BLOB NOT NULL,
    client BLOB NOT NULL, exclusive INTEGER NOT NULL, most INTEGER, ttl_ms INTEGER, meta BLOB, bound INTEGER NOT NULL,
    UNIQUE (name, owner)) STRICT;
  CREATE TABLE soloist_client (client BLOB PRIMARY KEY, seen_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE soloist_result (id INTEGER PRIMARY KEY, name BLOB NOT NULL, owner BLOB NOT NULL,
    until_ms INTEGER NOT NULL, text BLOB NOT NULL, UNIQUE (name, owner)) STRICT;
  CREATE TABLE soloist_watcher (name BLOB NOT NULL, owner BLOB NOT NULL, client BLOB NOT NULL, seen_ms INTEGER NOT NULL,
    ended INTEGER NOT NULL, PRIMARY KEY (name, owner, client)) STRICT, WITHOUT ROWID;
`
