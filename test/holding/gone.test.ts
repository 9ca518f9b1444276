import { existsSync, readFileSync } from 'node:fs'
import { connect } from 'soloist'
import { describe, expect, test } from 'vitest'
import { drivers, openRaw } from '../sqlite/support.js'
import { useStore } from './support.js'

const LONG = { ttlMs: 600_000 }

describe.skipIf(!existsSync('/proc/self/stat'))('on SQLite, a holder whose process was killed', () => {
  const store = useStore('sqlite')
  const alter = (sql: string) => {
    const db = openRaw(store.url.slice('sqlite:'.length), drivers[0] as (typeof drivers)[0])
    db.exec(sql)
    db.close()
  }

  test('is taken over at once, by who tries and by who waits, with a higher fence', async () => {
    const [first, second] = [store.start(), store.start()]
    const { fence } = await first.ask('lock', { name: 'a', ...LONG })
    await second.ask('block', { name: 'b', ...LONG })
    const solo = store.client()
    expect(await solo.tryLock('a')).toBeNull()
    const waits = store.client().lock('b')
    await expect.poll(async () => (await solo.inspect('b'))?.waiting).toBe(1)
    await Promise.all([first.signal('SIGKILL'), second.signal('SIGKILL')])
    const lease = await solo.tryLock('a')
    expect(lease?.fence).toBeGreaterThan(fence as number)
    expect((await waits).name).toBe('b')
  })

  test('is taken over whatever it held: readers, places of a semaphore, a lock it was handed on', async () => {
    const solo = store.client()
    const token = await (await solo.lock('handed', LONG)).detach()
    const first = store.start()
    await first.ask('attach', { token })
    for (let i = 0; i < 50; i += 1) await first.ask('lock', { name: `many ${i}`, ...LONG })
    await first.signal('SIGKILL')
    expect(await solo.tryLock('handed')).not.toBeNull()
    const all = Array.from({ length: 50 }, (_, i) => solo.tryLock(`many ${i}`))
    expect((await Promise.all(all)).filter(lease => lease === null)).toEqual([])
  })

  test('by one of four that wait, and then the next', async () => {
    const first = store.start()
    await first.ask('lock', { name: 'next', ...LONG })
    const others = [1, 2, 3, 4].map(() => store.start())
    const turns = others.map(async other => await other.ask('lock', { name: 'next', ...LONG }))
    const solo = store.client()
    await expect.poll(async () => (await solo.inspect('next'))?.waiting, { timeout: 20_000 }).toBe(4)
    await first.signal('SIGKILL')
    const winner = await Promise.race(turns.map((turn, i) => turn.then(() => i)))
    expect((await solo.inspect('next'))?.holding).toBe(1)
    await others[winner]?.signal('SIGKILL')
    const rest = turns.filter((_, i) => i !== winner)
    expect((await Promise.race(rest)).name).toBe('next')
  })

  test('is not touched while its process lives, also one that is stopped', async () => {
    const first = store.start()
    await first.ask('lock', { name: 'lives', ...LONG })
    void first.ask('stop')
    const state = () => readFileSync(`/proc/${first.process.pid}/stat`, 'latin1').split(') ')[1]?.[0]
    await expect.poll(state).toBe('T')
    expect(await store.client().tryLock('lives')).toBeNull()
    await first.signal('SIGCONT')
    expect(await first.ask('valid', { name: 'lives' })).toMatchObject({ name: 'lives' })
  })

  test('is not touched when it says so: handed on, holdForMs, outlivesProcess, left by close()', async () => {
    const first = store.start()
    await first.ask('lock', { name: 'token', ...LONG })
    const { token } = await first.ask('detach', { name: 'token' })
    await first.ask('lock', { name: 'tick', holdForMs: 500_000, ...LONG })
    await first.ask('lock', { name: 'released tick', holdForMs: 500_000, ...LONG })
    await first.ask('release', { name: 'released tick' })
    await first.ask('lock', { name: 'child', outlivesProcess: true, ...LONG })
    await first.signal('SIGKILL')
    const solo = store.client()
    for (const name of ['token', 'tick', 'released tick', 'child']) expect(await solo.tryLock(name), name).toBeNull()
    expect((await solo.attach(token as string)).name).toBe('token')
  })

  test('whose number another process has by now is taken over: that one started at another time', async () => {
    const first = store.start()
    await first.ask('lock', { name: 'recycled', ...LONG })
    const solo = store.client()
    expect(await solo.tryLock('recycled')).toBeNull()
    alter(`UPDATE soloist_process SET started = started - 1 WHERE pid = ${first.process.pid}`)
    expect(await solo.tryLock('recycled')).not.toBeNull()
  })

  test.each(['another boot pid:[1] time:[1]', ''])('is not touched from elsewhere: of the place "%s"', async place => {
    const first = store.start()
    const name = `elsewhere ${place}`
    await first.ask('lock', { name, ...LONG })
    await first.signal('SIGKILL')
    alter(`UPDATE soloist_process SET place = CAST('${place}' AS BLOB) WHERE pid = ${first.process.pid}`)
    expect(await store.client().tryLock(name)).toBeNull()
  })

  test('is noted once, and a client that closes leaves no note of it', async () => {
    const first = store.start()
    const count = () => {
      const db = openRaw(store.url.slice('sqlite:'.length), drivers[0] as (typeof drivers)[0])
      const rows = db.all(`SELECT client FROM soloist_process WHERE pid = ${first.process.pid}`)
      db.close()
      return rows.length
    }
    await first.ask('lock', { name: 'noted 1' })
    await first.ask('lock', { name: 'noted 2' })
    expect(count()).toBe(1)
    await first.ask('close')
    expect(count()).toBe(0)
  })

  test('is found by whoever joined its job, and runs it again', async () => {
    const first = store.start()
    await first.ask('job', { name: 'j', ...LONG })
    await using solo = connect(store.url)
    const job = solo.job('j', LONG, () => 'ran again')
    const joined = job()
    await expect.poll(() => job.counts().duplicate).toBe(1)
    await first.signal('SIGKILL')
    expect(await joined).toBe('ran again')
  })
})
