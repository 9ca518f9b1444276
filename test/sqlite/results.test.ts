import { describe, expect, test } from 'vitest'
import { PushWatch } from '../../dist/backends/sqlite/watch.js'
import { ManualClock } from '../support/manual-clock.js'
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
  until,
} from './support.js'

const folder = temporaryFolder()
closeClientsAfterEach()

const done = { text: 'done', keepMs: 60_000 }

describe.each(drivers)('what an owner leaves, through %s', driver => {
  function open(path: string, options: { prefix?: string; client?: string } = {}): Client {
    return openClient(path, driver, options)
  }

  test('an end that another connection brought about is found without any call', async () => {
    const path = newPath(folder)
    const [a, b, other] = [open(path), open(path), open(path, { prefix: 'other:' })]
    for (const client of [a, other]) await client.acquire(claim('job', 'first'))
    expect(await b.watch('job', 'first')).toEqual({ status: 'live' })
    expect(await other.watch('job', 'first')).toEqual({ status: 'live' })
    await a.release(claim('job', 'first'), done)
    await until(() => b.events.length > 0)
    expect(b.events).toEqual([{ type: 'ended', name: 'job', owner: 'first' }])
    expect(await b.watch('job', 'first')).toEqual({ status: 'result', text: 'done' })
    expect(await other.watch('job', 'first')).toEqual({ status: 'live' })
    expect([a.events, other.events]).toEqual([[], []])
  })

  test('an end that this backend brought about itself is delivered with it', async () => {
    const client = open(newPath(folder))
    await client.acquire(claim('job', 'first'))
    await client.watch('job', 'first')
    await client.acquire(claim('job', 'second'), { replaces: 'first' })
    expect(client.events).toEqual([{ type: 'ended', name: 'job', owner: 'first' }])
    await client.watch('job', 'second')
    await client.release(claim('job', 'second'), done)
    expect(client.events).toEqual(['first', 'second'].map(owner => ({ type: 'ended', name: 'job', owner })))
  })

  test('results and watchers go when their time is over', async () => {
    const path = newPath(folder)
    const [client, silent] = [open(path), open(path, { client: 'silent' })]
    await client.acquire(claim('job', 'owner', { ttlMs: null }))
    for (const watcher of [client, silent]) await watcher.watch('job', 'owner')
    for (const owner of ['1', '2', '3']) {
      await client.acquire(claim(owner, owner))
      await client.release(claim(owner, owner), done)
    }
    expect(rowCounts(path, driver)).toEqual({ ...noRows, alone: 1, outcome: 3, watcher: 2 })
    const raw = openRaw(path, driver)
    raw.run('UPDATE soloist_outcome SET until_ms = until_ms - ? WHERE owner <> ?', 60_001, Buffer.from('3'))
    const silentMs = 3 * client.backend.beatMs + 1
    raw.run('UPDATE soloist_watcher SET seen_ms = seen_ms - ? WHERE client = ?', silentMs, Buffer.from('silent'))
    raw.close()
    expect(await client.watch('1', '1')).toEqual({ status: 'gone' })
    expect(await client.watch('3', '3')).toEqual({ status: 'result', text: 'done' })
    // Who comes next sweeps.
    await open(path).acquire(claim('job', 'next'))
    expect(rowCounts(path, driver)).toEqual({ ...noRows, alone: 1, outcome: 1, watcher: 1 })
    await client.release(claim('job', 'owner', { ttlMs: null }))
    expect(await client.watch('job', 'owner')).toEqual({ status: 'gone' })
    expect(rowCounts(path, driver)).toEqual({ ...noRows, outcome: 1 })
  })

  test('a claim that waits is gone for who watches it once its client fell silent, although nobody sweeps', async () => {
    const path = newPath(folder)
    const [a, b, watching] = [open(path), open(path, { client: 'silent' }), open(path)]
    await a.acquire(claim('job', 'holder', { ttlMs: null }))
    await a.acquire(claim('job', 'first', { durable: true }), { ticket: 'new' })
    for (const owner of ['second', 'third']) await b.acquire(claim('job', owner), { ticket: 'new' })
    expect(await watching.watch('job', 'third')).toEqual({ status: 'live' })
    const raw = openRaw(path, driver)
    raw.run(
      'UPDATE soloist_client SET seen_ms = seen_ms - ? WHERE client = ?',
      3 * a.backend.beatMs + 1,
      Buffer.from('silent'),
    )
    raw.close()
    // It asks about its own claim, so it is there.
    expect(await b.watch('job', 'second')).toEqual({ status: 'live' })
    expect(await watching.watch('job', 'third')).toEqual({ status: 'gone' })
    expect(await watching.watch('job', 'first')).toEqual({ status: 'live' })
    expect(rowCounts(path, driver)).toMatchObject({ waiting: 1, client: 0 })
  })

  test('results that come faster than anybody sweeps do not pile up', async () => {
    const path = newPath(folder)
    const client = open(path)
    const raw = openRaw(path, driver)
    for (let i = 0; i < 300; i++) {
      await client.acquire(claim('job', `owner-${i}`))
      await client.release(claim('job', `owner-${i}`), done)
      raw.run('UPDATE soloist_outcome SET until_ms = 0')
    }
    raw.close()
    expect(rowCounts(path, driver).outcome).toBeLessThan(5)
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
    watch.addWaiting({ name: 'a', owner: 'o' })
    watch.addWatching({ name: 'b', owner: 'o' })
    expect(await looksIn(1_000)).toBe(200)
    watch.removeWaiting({ name: 'a', owner: 'o' })
    expect(await looksIn(1_000)).toBe(200)
    watch.addWatching({ name: 'b', owner: 'o' })
    expect(await looksIn(2_500)).toBe(500)
    expect(await looksIn(2_500)).toBeLessThan(400)
    expect(await looksIn(1_000)).toBe(0)
    watch.addWatching({ name: 'b', owner: 'o' })
    watch.removeWatching({ name: 'b', owner: 'o' })
    expect(await looksIn(1_000)).toBe(0)
    watch.close()
    watch.addWaiting({ name: 'a', owner: 'o' })
    expect(await looksIn(1_000)).toBe(0)
    expect(clock.pending).toBe(0)
  })
})
