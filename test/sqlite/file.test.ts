import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Backend, connect, type GrantEvent } from 'soloist'
import { type SqliteDriver, sqliteBackend } from 'soloist/sqlite'
import { afterEach, describe, expect, test } from 'vitest'
import { Steps } from '../../dist/backends/sqlite/steps.js'
import { Store } from '../../dist/backends/sqlite/store.js'
import { claim, drivers, newPath, openRaw, temporaryFolder, until } from './support.js'

const folder = temporaryFolder()
const opened: Backend[] = []

afterEach(async () => {
  await Promise.all(opened.splice(0).map(backend => backend.close()))
})

function open(path: string, driver: SqliteDriver): Backend {
  const backend = sqliteBackend(path, { driver })
  opened.push(backend)
  return backend
}

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
    const backend = open(path, driver)
    expect(existsSync(dirname(path))).toBe(false)
    await backend.acquire(claim('job', 'owner'))
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
      const replacement = sqliteBackend(other, { driver })
      await replacement.acquire(claim('job', 'somebody'))
      await replacement.release(claim('job', 'somebody'))
      await replacement.close()
      removeDatabase(path)
      for (const end of ['', '-wal']) if (existsSync(other + end)) renameSync(other + end, path + end)
    },
  }

  test.each(Object.entries(ways))(
    'when it is %s, one call rejects and the next works on the new one',
    async (_, act) => {
      const path = newPath(folder)
      const backend = open(path, driver)
      const events: GrantEvent[] = []
      backend.onGrant(event => events.push(event))
      const before = await backend.acquire(claim('job', 'before'))
      await act(path)
      await expect(backend.renew([claim('job', 'before')])).rejects.toThrow('was deleted or replaced')
      await until(() => events.length > 0)
      expect(events).toEqual([{ type: 'gap' }])
      expect(await backend.renew([claim('job', 'before')])).toEqual([{ status: 'lost' }])
      const after = await backend.acquire(claim('job', 'after'))
      expect(before).toMatchObject({ status: 'granted' })
      expect(after).toMatchObject({ status: 'granted' })
      if (before.status === 'granted' && after.status === 'granted') expect(after.fence).toBeGreaterThan(before.fence)
    },
  )

  test('when it is deleted, a holder is told within a renewal and those that wait go on', async () => {
    const path = newPath(folder)
    const holding = connect(open(path, driver))
    const waiting = connect(open(path, driver))
    const lease = await holding.lock('job', { ttlMs: 6_000 })
    const lost = new Promise<unknown>(resolve => {
      lease.signal.addEventListener('abort', () => resolve(lease.signal.reason), { once: true })
    })
    const next = waiting.lock('job', { waitMs: 20_000 })
    await until(async () => (await holding.inspect('job'))?.waiting === 1)
    expect(lease.signal.aborted).toBe(false)
    removeDatabase(path)
    // After two seconds, give or take a tenth, a renewal meets the fault, and the next one learns what became of the lock. By
    // its own deadline the lease would have run out after nearly six.
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
    await using solo = connect(open(path, driver))
    const error = await solo.tryLock('job').catch((error: unknown) => error)
    expect(error).toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    expect(resultCode((error as Error).cause)).toBe(26)
    expect(statSync(path).size).toBe(10_000)
  })

  test('of a later version is refused, and left as it is', async () => {
    const path = newPath(folder)
    await open(path, driver).inspect('job')
    const raw = openRaw(path, driver)
    raw.exec('UPDATE soloist_store SET version = 3; DROP TABLE soloist_result')
    await expect(open(path, driver).inspect('job')).rejects.toThrow('made by another version of Soloist')
    expect(raw.get("SELECT count(*) AS n FROM sqlite_schema WHERE name = 'soloist_result'")).toMatchObject({ n: 0 })
    raw.exec('BEGIN IMMEDIATE')
    raw.close()
  })

  test('of version 1 gets what it lacks, and keeps what is held', async () => {
    const path = newPath(folder)
    await open(path, driver).acquire(claim('job', 'old'))
    const raw = openRaw(path, driver)
    raw.exec('DROP TABLE soloist_result; DROP TABLE soloist_watcher; UPDATE soloist_store SET version = 1')
    const backend = open(path, driver)
    expect(await backend.watch('job', 'old', 'c')).toEqual({ status: 'live' })
    expect(await backend.release(claim('job', 'old'), { text: 'done', keepMs: 60_000 })).toEqual({ released: true })
    expect(await backend.watch('job', 'old', 'c')).toEqual({ status: 'result', text: 'done' })
    expect(raw.get('SELECT version FROM soloist_store')).toMatchObject({ version: 2 })
    raw.close()
  })

  test('that is a folder, or lies under a file, is a fault; once it can be made, the same backend works', async () => {
    const path = newPath(folder)
    mkdirSync(path)
    const backend = open(path, driver)
    await expect(backend.acquire(claim('job', 'owner'))).rejects.toThrow()
    rmSync(path, { recursive: true })
    expect(await backend.acquire(claim('job', 'owner'))).toMatchObject({ status: 'granted' })
    await expect(open(join(path, 'under.db'), driver).inspect('job')).rejects.toThrow()
  })

  test('a step that fails half way is undone, and the next one works', async () => {
    const path = newPath(folder)
    const store = new Store('soloist:')
    const steps = new Steps(
      path,
      path => openRaw(path, driver),
      () => {},
    )
    const failing = steps.run('write', db => {
      store.acquire(db, claim('job', 'half'), {})
      throw new Error('half way')
    })
    await expect(failing).rejects.toThrow('half way')
    const { reply } = await steps.run('write', db => store.acquire(db, claim('job', 'whole'), {}))
    expect(reply).toMatchObject({ status: 'granted' })
    steps.close()
  })

  test('when it is full, a step changes nothing, and what was held can still be released', async () => {
    const path = newPath(folder)
    const backend = open(path, driver)
    await backend.acquire(claim('held', 'owner'))
    let db: ReturnType<typeof openRaw> | undefined
    const openFull = (path: string) => {
      db = openRaw(path, driver)
      db.exec('PRAGMA max_page_count = 1')
      return db
    }
    const store = new Store('soloist:')
    const steps = new Steps(path, openFull, () => {})
    const big = claim('big', 'owner', { meta: 'x'.repeat(20_000) })
    const error = await steps.run('write', db => store.acquire(db, big, {})).catch((error: unknown) => error)
    expect(resultCode(error)).toBe(13)
    expect(db?.inTransaction).toBe(false)
    expect(await backend.inspect('big')).toBeNull()
    expect((await backend.inspect('held'))?.holders.map(({ owner }) => owner)).toEqual(['owner'])
    const { reply } = await steps.run('write', db => store.release(db, claim('held', 'owner')))
    expect(reply).toBe(true)
    expect(await backend.inspect('held')).toBeNull()
    steps.close()
  })
})
