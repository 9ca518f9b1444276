import type { Backend, GrantEvent } from 'soloist'
import { sqliteBackend } from 'soloist/sqlite'
import { afterEach, describe, expect, test } from 'vitest'
import { PushWatch } from '../../dist/backends/sqlite/watch.js'
import { ManualClock } from '../support/manual-clock.js'
import { claim, drivers, newPath, noRows, openRaw, rowCounts, temporaryFolder, until } from './support.js'

const folder = temporaryFolder()
const opened: Backend[] = []

afterEach(async () => {
  await Promise.all(opened.splice(0).map(backend => backend.close()))
})

const done = { text: 'done', keepMs: 60_000 }

describe.each(drivers)('what an owner leaves, through %s', driver => {
  function open(path: string, prefix?: string): { backend: Backend; events: GrantEvent[] } {
    const backend = sqliteBackend(path, { driver, prefix })
    opened.push(backend)
    const events: GrantEvent[] = []
    backend.onGrant(event => events.push(event))
    return { backend, events }
  }

  test('an end that another connection brought about is found without any call', async () => {
    const path = newPath(folder)
    const [a, b, other] = [open(path), open(path), open(path, 'other:')]
    for (const { backend } of [a, other]) await backend.acquire(claim('job', 'first'))
    expect(await b.backend.watch('job', 'first', 'b')).toEqual({ status: 'live' })
    expect(await other.backend.watch('job', 'first', 'b')).toEqual({ status: 'live' })
    await a.backend.release(claim('job', 'first'), done)
    await until(() => b.events.length > 0)
    expect(b.events).toEqual([{ type: 'ended', name: 'job', owner: 'first' }])
    expect(await b.backend.watch('job', 'first', 'b')).toEqual({ status: 'result', text: 'done' })
    expect(await other.backend.watch('job', 'first', 'b')).toEqual({ status: 'live' })
    expect([a.events, other.events]).toEqual([[], []])
  })

  test('an end that this backend brought about itself is delivered with it', async () => {
    const { backend, events } = open(newPath(folder))
    await backend.acquire(claim('job', 'first'))
    await backend.watch('job', 'first', 'c')
    await backend.acquire(claim('job', 'second'), { replaces: 'first' })
    expect(events).toEqual([{ type: 'ended', name: 'job', owner: 'first' }])
    await backend.watch('job', 'second', 'c')
    await backend.release(claim('job', 'second'), done)
    expect(events).toEqual(['first', 'second'].map(owner => ({ type: 'ended', name: 'job', owner })))
  })

  test('results and watchers go when their time is over', async () => {
    const path = newPath(folder)
    const { backend } = open(path)
    await backend.acquire(claim('job', 'owner', { ttlMs: null }))
    for (const client of ['a', 'b']) await backend.watch('job', 'owner', client)
    for (const owner of ['1', '2', '3']) {
      await backend.acquire(claim(owner, owner))
      await backend.release(claim(owner, owner), done)
    }
    expect(rowCounts(path, driver)).toEqual({ ...noRows, holder: 1, result: 3, watcher: 2 })
    const raw = openRaw(path, driver)
    raw.run('UPDATE soloist_result SET until_ms = until_ms - ? WHERE owner <> ?', 60_001, Buffer.from('3'))
    const silentMs = 3 * backend.beatMs + 1
    raw.run('UPDATE soloist_watcher SET seen_ms = seen_ms - ? WHERE client = ?', silentMs, Buffer.from('a'))
    raw.close()
    expect(await backend.watch('1', '1', 'c')).toEqual({ status: 'gone' })
    expect(await backend.watch('3', '3', 'c')).toEqual({ status: 'result', text: 'done' })
    // Who comes next sweeps.
    await open(path).backend.acquire(claim('job', 'next'))
    expect(rowCounts(path, driver)).toEqual({ ...noRows, holder: 1, result: 1, watcher: 1 })
    await backend.release(claim('job', 'owner', { ttlMs: null }))
    expect(await backend.watch('job', 'owner', 'b')).toEqual({ status: 'gone' })
    expect(rowCounts(path, driver)).toEqual({ ...noRows, result: 1 })
  })

  test('results that come faster than anybody sweeps do not pile up', async () => {
    const path = newPath(folder)
    const { backend } = open(path)
    const raw = openRaw(path, driver)
    for (let i = 0; i < 300; i++) {
      await backend.acquire(claim('job', `owner-${i}`))
      await backend.release(claim('job', `owner-${i}`), done)
      raw.run('UPDATE soloist_result SET until_ms = 0')
    }
    raw.close()
    expect(rowCounts(path, driver).result).toBeLessThan(5)
  })
})

describe('the watch of an SQLite database', () => {
  test('looks only while somebody waits or watches, and not for those who stopped asking', async () => {
    const clock = new ManualClock()
    let looks = 0
    const version = () => {
      looks += 1
      return 1
    }
    const watch = new PushWatch({ version, granted: () => [], ended: () => [], failed: () => {} }, clock)
    const looksIn = async (ms: number) => {
      const before = looks
      await clock.advance(ms)
      return looks - before
    }
    expect(await looksIn(1_000)).toBe(0)
    watch.addWaiting({ name: 'a', owner: 'o', client: 'c' })
    watch.addWatching({ name: 'b', owner: 'o', client: 'c' })
    expect(await looksIn(1_000)).toBe(200)
    watch.removeWaiting({ name: 'a', owner: 'o', client: 'c' })
    expect(await looksIn(1_000)).toBe(200)
    watch.addWatching({ name: 'b', owner: 'o', client: 'c' })
    expect(await looksIn(2_500)).toBe(500)
    expect(await looksIn(2_500)).toBeLessThan(400)
    expect(await looksIn(1_000)).toBe(0)
    watch.addWatching({ name: 'b', owner: 'o', client: 'c' })
    watch.removeWatching({ name: 'b', owner: 'o', client: 'c' })
    expect(await looksIn(1_000)).toBe(0)
    watch.close()
    watch.addWaiting({ name: 'a', owner: 'o', client: 'c' })
    expect(await looksIn(1_000)).toBe(0)
    expect(clock.pending).toBe(0)
  })
})
