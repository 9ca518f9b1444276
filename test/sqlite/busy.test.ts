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
