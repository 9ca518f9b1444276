import { createRequire } from 'node:module'
import { connect, SoloistError } from 'soloist'
import { sqliteBackend } from 'soloist/sqlite'
import { describe, expect, test } from 'vitest'
import { isBusy } from '../../dist/backends/sqlite/client.js'
import {
  type Client,
  claim,
  closeClientsAfterEach,
  drivers,
  newPath,
  openClient,
  openRaw,
  temporaryFolder,
} from './support.js'

const folder = temporaryFolder()
closeClientsAfterEach()

/** Resolves after the event loop has come round `count` times, a millisecond apart or more. */
async function ticks(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise(resolve => setTimeout(resolve, 1))
}

describe.each(drivers)('a database that somebody else is writing to, through %s', driver => {
  async function withWriter(work: (client: Client, commit: () => void, path: string) => Promise<void>) {
    const path = newPath(folder)
    const client = openClient(path, driver)
    await client.inspect('anything')
    const writer = openRaw(path, driver)
    writer.exec('BEGIN IMMEDIATE')
    try {
      await work(client, () => writer.exec('COMMIT'), path)
    } finally {
      writer.close()
    }
  }

  test('a step waits for it without holding up the event loop', async () => {
    await withWriter(async (client, commit) => {
      let settled = false
      const held = client.acquire(claim('job', 'owner')).finally(() => {
        settled = true
      })
      await ticks(20)
      expect(settled).toBe(false)
      commit()
      expect(await held).toMatchObject({ status: 'granted' })
    })
  })

  test('steps that are held up run in the order they came', async () => {
    await withWriter(async (client, commit) => {
      const replies = ['a', 'b', 'c'].map(owner => client.acquire(claim('job', owner), { ticket: 'new' }))
      await ticks(5)
      commit()
      expect(await Promise.all(replies)).toMatchObject([
        { status: 'granted' },
        { status: 'busy', holder: 'a' },
        { status: 'busy', holder: 'a' },
      ])
      expect((await client.inspect('job'))?.waiters.map(({ owner }) => owner)).toEqual(['b', 'c'])
    })
  })

  test('looking needs no turn', async () => {
    await withWriter(async client => {
      expect(await client.inspect('job')).toBeNull()
    })
  })

  test('opening waits for it too', async () => {
    await withWriter(async (_, commit, path) => {
      const other = openClient(path, driver)
      const held = other.acquire(claim('job', 'owner'))
      await ticks(20)
      commit()
      expect(await held).toMatchObject({ status: 'granted' })
    })
  })

  test('a step that gets no turn for four seconds is a fault, and changes nothing afterwards', async () => {
    await withWriter(async (client, commit, path) => {
      const solo = connect(sqliteBackend(path, { driver }))
      const since = performance.now()
      const refused = solo.tryLock('job')
      await expect(refused).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
      expect(performance.now() - since).toBeGreaterThan(3_900)
      const error = await refused.catch((error: unknown) => error)
      expect(isBusy((error as SoloistError).cause)).toBe(true)
      commit()
      await solo.close()
      expect(await client.inspect('job')).toBeNull()
    })
  })

  test('close ends a step that waits', async () => {
    await withWriter(async client => {
      const refused = client.acquire(claim('job', 'owner'))
      await Promise.all([
        expect(refused).rejects.toSatisfy(error => error instanceof SoloistError && error.code === 'CLOSED'),
        client.backend.close(),
      ])
      await client.backend.close()
      await expect(client.renew(claim('job', 'owner'))).rejects.toMatchObject({ code: 'CLOSED' })
    })
  })
})

test('libsql: who meets another writer between two statements goes on afterwards', async () => {
  // It leaves a statement open that failed. What is read next then keeps the connection at that moment.
  const Libsql = createRequire(import.meta.url)('libsql') as { prototype: { prepare: (sql: string) => { run: Run } } }
  type Run = (...params: unknown[]) => { readonly changes: number }
  const path = newPath(folder)
  const [solo, peer] = [1, 2].map(() => connect(sqliteBackend(path, { driver: 'libsql' })))
  const [busy, lease] = [await peer?.lock('busy'), await solo?.semaphore('some', 2).lock()]
  // It waits, so it reads the file every few milliseconds.
  const waits = solo?.lock('busy')
  const writer = openRaw(path, 'libsql')
  const { prepare } = Libsql.prototype
  try {
    await ticks(50)
    const written = new Promise<void>(resolve => {
      let met = false
      Libsql.prototype.prepare = function (sql) {
        const statement = prepare.call(this, sql)
        const run = statement.run.bind(statement)
        statement.run = (...params) => {
          const result = run(...params)
          if (met || !sql.startsWith('DELETE FROM soloist_alone') || result.changes > 0) return result
          met = true
          writer.exec('BEGIN IMMEDIATE; CREATE TABLE other (a)')
          setTimeout(() => {
            writer.exec('COMMIT; INSERT INTO other VALUES (1)')
            resolve()
          }, 30)
          return result
        }
        return statement
      }
    })
    await lease?.release()
    await written
    expect((await solo?.tryLock('free'))?.name).toBe('free')
    await busy?.release()
    expect((await waits)?.name).toBe('busy')
  } finally {
    Libsql.prototype.prepare = prepare
    writer.close()
    await Promise.all([solo?.close(), peer?.close()])
  }
})
