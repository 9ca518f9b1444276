import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect, type Soloist } from 'soloist'
import { sqliteBackend } from 'soloist/sqlite'
import { describe, expect, test } from 'vitest'
import { drivers, newPath, noRows, Remote, rowCounts, runChild, temporaryFolder, until } from './support.js'

const folder = temporaryFolder()

async function waiting(solo: Soloist, name: string, count: number): Promise<void> {
  await until(async () => (await solo.inspect(name))?.waiting === count)
}

describe.each(drivers)('processes that share one file, through %s', driver => {
  test('contending processes hold the lock one at a time, in the order of their fences', async () => {
    const path = newPath(folder)
    const file = join(folder, `number-${driver.replace(':', '-')}`)
    writeFileSync(file, '0')
    const [processes, rounds] = [4, 60]
    const runs = Array.from({ length: processes }, () => runChild('contend', path, driver, file, String(rounds)))
    const turns = (await Promise.all(runs)).flat() as { fence: number; fromNs: string; toNs: string }[]

    expect(Number(await readFile(file, 'utf8'))).toBe(processes * rounds)
    turns.sort((a, b) => a.fence - b.fence)
    expect(new Set(turns.map(turn => turn.fence)).size).toBe(processes * rounds)
    const overlaps = turns.filter((turn, i) => i > 0 && BigInt(turn.fromNs) < BigInt(turns[i - 1]?.toNs ?? 0))
    expect(overlaps).toEqual([])
    expect(rowCounts(path, driver)).toEqual(noRows)
  })

  test('processes that wait are served in the order they came, each of them', async () => {
    const path = newPath(folder)
    await using solo = connect(sqliteBackend(path, { driver }))
    const lease = await solo.lock('queue')
    const remotes: Remote[] = []
    const grants: Promise<{ place: number; fence: number }>[] = []
    for (let place = 0; place < 5; place++) {
      const remote = new Remote(path, driver)
      remotes.push(remote)
      const granted = remote.ask('lock', { name: 'queue' })
      grants.push(granted.then(({ fence }) => ({ place, fence: Number(fence) })))
      void granted.then(() => remote.ask('release', { name: 'queue' }))
      await waiting(solo, 'queue', place + 1)
    }
    await lease.release()
    const served = (await Promise.all(grants)).sort((a, b) => a.fence - b.fence)
    expect(served.map(({ place }) => place)).toEqual([0, 1, 2, 3, 4])
    expect(served[0]?.fence).toBeGreaterThan(lease.fence)
    expect(await Promise.all(remotes.map(remote => remote.end()))).toEqual([0, 0, 0, 0, 0])
    expect(rowCounts(path, driver)).toEqual(noRows)
  })

  test('processes that start together on a new file all get to work', async () => {
    const path = newPath(folder)
    const remotes = Array.from({ length: 8 }, () => new Remote(path, driver))
    const locked = await Promise.all(remotes.map((remote, i) => remote.ask('lock', { name: `own-${i}` })))
    expect(new Set(locked.map(({ fence }) => fence)).size).toBe(8)
    expect(await Promise.all(remotes.map(remote => remote.end()))).toEqual(Array(8).fill(0))
    expect(rowCounts(path, driver)).toEqual(noRows)
  })

  test('a holder that is killed is succeeded when its lease has run out', async () => {
    const path = newPath(folder)
    await using solo = connect(sqliteBackend(path, { driver }))
    const remote = new Remote(path, driver)
    const ttlMs = 7_000
    const before = await remote.ask('lock', { name: 'job', ttlMs, outlivesProcess: true })
    await remote.kill()
    const killedAt = Date.now()
    expect((await solo.inspect('job'))?.holders[0]?.owner).toBe(before.owner)
    const expiresAtMs = (await solo.inspect('job'))?.holders[0]?.expiresAtMs ?? 0
    await using lease = await solo.lock('job', { waitMs: ttlMs + 10_000 })
    expect(Date.now()).toBeGreaterThanOrEqual(expiresAtMs)
    expect(expiresAtMs).toBeLessThanOrEqual(killedAt + ttlMs)
    expect(lease.fence).toBeGreaterThan(Number(before.fence))
    expect((await solo.inspect('job'))?.holders.map(({ owner }) => owner)).toEqual([lease.owner])
  })

  test('a process that is killed while it waits is passed over, and leaves nothing behind', async () => {
    const path = newPath(folder)
    await using solo = connect(sqliteBackend(path, { driver }))
    const lease = await solo.lock('job')
    const remote = new Remote(path, driver)
    void remote.ask('lock', { name: 'job' })
    await waiting(solo, 'job', 1)
    await remote.kill()
    const queued = once(solo, 'waiting')
    const next = solo.lock('job', { waitMs: 20_000 })
    await queued
    await lease.release()
    await (await next).release()
    expect(rowCounts(path, driver)).toEqual(noRows)
  })

  test('a process that is killed within a step changes nothing, and nobody waits for it', async () => {
    const path = newPath(folder)
    await using solo = connect(sqliteBackend(path, { driver }))
    await using lease = await solo.lock('job')
    const remote = new Remote(path, driver)
    await remote.ask('begin')
    const other = solo.tryLock('other')
    await remote.kill()
    expect(await other).not.toBeNull()
    expect((await solo.inspect('job'))?.holders.map(({ owner }) => owner)).toEqual([lease.owner])
  })

  test('a process ends by itself when it has closed what it waited with', async () => {
    const path = newPath(folder)
    await using solo = connect(sqliteBackend(path, { driver }))
    await using _lease = await solo.lock('job')
    const remote = new Remote(path, driver)
    const refused = remote.ask('lock', { name: 'job' })
    await waiting(solo, 'job', 1)
    expect(await remote.end()).toBe(0)
    expect(await refused).toEqual({ error: 'CLOSED' })
    expect((await solo.inspect('job'))?.waiting).toBe(0)
  })
})

const [first, second] = drivers
if (second !== undefined) {
  // Each is a copy of SQLite of its own, and the system's locks on files do not tell one process from itself: who closes
  // the file first takes it for nobody else's.
  test('both drivers work on one file at the same time, and one goes on when the other has closed it', {
    timeout: 60_000,
  }, async () => {
    for (let round = 0; round < 30; round += 1) {
      const path = newPath(folder)
      const a = connect(sqliteBackend(path, { driver: first }))
      const b = connect(sqliteBackend(path, { driver: second }))
      const lease = await a.lock('job')
      const next = b.lock('job', { waitMs: 20_000 })
      await waiting(a, 'job', 1)
      await lease.release()
      const held = await next
      expect((await a.inspect('job'))?.holders.map(({ owner }) => owner)).toEqual([held.owner])
      expect(held.fence).toBeGreaterThan(lease.fence)
      await Promise.all([a.close(), b.close()])
      expect(rowCounts(path, second)).toEqual(noRows)
    }
  })
}
