// Guards invariant S3 of docs/guarantees.md.
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'soloist'
import { type SqliteTransaction, sqliteBackend } from 'soloist/sqlite'
import { afterAll, describe, expectTypeOf, test } from 'vitest'
import { drivers, newPath, temporaryFolder } from './support.js'

type Connection = SqliteTransaction & { close(): void }

const folder = temporaryFolder()

describe.each(drivers)('lease.guard through %s', driver => {
  const path = newPath(folder)
  const solo = connect(sqliteBackend(path, { driver }))
  afterAll(() => solo.close())

  /** A connection of the application's: what the library opens is the driver's own, behind a face. */
  async function openApp(file = path): Promise<Connection> {
    if (driver === 'libsql') {
      const { default: Libsql } = await import('libsql')
      return new Libsql(file) as unknown as Connection
    }
    const sqlite = process.getBuiltinModule('node:sqlite') as unknown as {
      DatabaseSync: new (path: string) => Connection
    }
    return new sqlite.DatabaseSync(file)
  }

  test('lets a holder commit, and nobody be granted the lock before that', async () => {
    const lease = await solo.lock('guarded')
    const app = await openApp()
    app.exec('CREATE TABLE IF NOT EXISTS account (balance INTEGER)')
    app.exec('BEGIN IMMEDIATE')
    await lease.guard(app)
    app.exec('INSERT INTO account VALUES (1)')
    let released = false
    const releasing = lease.release().then(() => {
      released = true
    })
    await sleep(50)
    assert.equal(released, false, 'nobody else writes the file meanwhile')
    app.exec('COMMIT')
    await releasing
    app.close()
  })

  test('refuses a holder that was overtaken or cleared', async () => {
    const lease = await solo.lock('cleared')
    await solo.unlock('cleared', { force: true })
    const app = await openApp()
    app.exec('BEGIN')
    await assert.rejects(lease.guard(app), { code: 'LEASE_LOST' })
    app.exec('ROLLBACK')
    app.close()
  })

  test('of many holders that are paused past their leases, none commits after the next', async () => {
    const backend = sqliteBackend(path, { driver })
    backend.open('races', () => {})
    const app = await openApp()
    app.exec('PRAGMA busy_timeout = 5000')
    for (let i = 0; i < 25; i += 1) {
      const take = async (owner: string, ttlMs: number) => {
        const wanted = { name: `race ${i}`, owner, mode: 'exclusive', limit: null, ttlMs, meta: null } as const
        const [answer] = (await backend.run([{ kind: 'acquire', claim: wanted, ticket: null, replaces: null }])).steps
        return answer?.status === 'granted' ? answer.fence : null
      }
      const fence = Number(await take('paused', 5))
      await sleep(8)
      const next = Number(await take('next', 60_000))
      assert.ok(next > fence)
      app.exec('BEGIN')
      assert.equal(await backend.guard({ name: `race ${i}`, owner: 'paused' }, fence, app), false)
      assert.equal(await backend.guard({ name: `race ${i}`, owner: 'next' }, next, app), true)
      app.exec('ROLLBACK')
    }
    app.close()
    await backend.close()
  })

  test('refuses what is no open transaction, and one on another file', async () => {
    await using lease = await solo.lock('nothing open')
    const app = await openApp()
    await assert.rejects(lease.guard(app), { code: 'INVALID_ARGUMENT' })
    await assert.rejects(lease.guard({} as SqliteTransaction), { code: 'INVALID_ARGUMENT' })
    app.close()
    const other = await openApp(newPath(folder))
    other.exec('BEGIN')
    await assert.rejects(lease.guard(other), { code: 'INVALID_ARGUMENT' })
    other.exec('ROLLBACK')
    other.close()
    expectTypeOf(lease).toHaveProperty('guard')
  })
})
