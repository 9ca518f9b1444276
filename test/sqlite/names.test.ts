import fc from 'fast-check'
import type { Backend } from 'soloist'
import { sqliteBackend } from 'soloist/sqlite'
import { afterAll, describe, expect, test } from 'vitest'
import { claim, drivers, newPath, noRows, openRaw, rowCounts, temporaryFolder } from './support.js'

const folder = temporaryFolder()
const opened: Backend[] = []

afterAll(async () => {
  await Promise.all(opened.map(backend => backend.close()))
})

const odd = [
  'a',
  'a\0',
  'a\0b',
  '\0',
  'A',
  'a ',
  'ä',
  'a\u0308',
  '\ufeffa',
  '\uffff',
  '😀',
  '%',
  '_',
  "'; DROP TABLE soloist_holder; --",
  '?1',
  '__proto__',
  'x'.repeat(1_024),
]

describe.each(drivers)('names, through %s', driver => {
  function open(prefix?: string, path = newPath(folder)): { backend: Backend; path: string } {
    const backend = sqliteBackend(path, { driver, prefix })
    opened.push(backend)
    return { backend, path }
  }

  test('different names are different locks, whatever bytes they hold', async () => {
    const { backend, path } = open()
    for (const [i, name] of odd.entries()) {
      expect(await backend.acquire(claim(name, `owner-${i}`, { meta: name }))).toMatchObject({ status: 'granted' })
    }
    for (const [i, name] of odd.entries()) {
      const state = await backend.inspect(name)
      expect(state).toMatchObject({ name, holders: [{ owner: `owner-${i}`, meta: name }] })
    }
    const listed = new Set<string>()
    for await (const { name } of backend.list('')) listed.add(name)
    expect(listed).toEqual(new Set(odd))
    for (const [i, name] of odd.entries()) await backend.release(claim(name, `owner-${i}`))
    expect(rowCounts(path, driver)).toEqual(noRows)
  })

  test('so are owners, and a grant names its claim exactly', async () => {
    const { backend } = open()
    const granted: unknown[] = []
    backend.onGrant(event => granted.push(event))
    const name = 'lock\0name'
    await backend.acquire(claim(name, 'a\0b'))
    expect(await backend.release(claim(name, 'a'))).toEqual({ released: false })
    expect(await backend.acquire(claim(name, 'a\0c'), { ticket: 'new' })).toMatchObject({ holder: 'a\0b' })
    await backend.release(claim(name, 'a\0b'))
    expect(granted).toMatchObject([{ name, owner: 'a\0c' }])
  })

  test('any two names and prefixes', async () => {
    const { backend } = open()
    const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 20 })
    await fc.assert(
      fc.asyncProperty(text, text, async (a, b) => {
        await backend.acquire(claim(a, 'first'))
        const second = await backend.acquire(claim(b, 'second'))
        const starts: string[] = []
        for await (const { name } of backend.list(a)) starts.push(name)
        await backend.release(claim(a, 'first'))
        await backend.release(claim(b, 'second'))
        expect(second.status).toBe(a === b ? 'busy' : 'granted')
        expect(new Set(starts)).toEqual(new Set([a, b].filter(name => name.startsWith(a))))
      }),
    )
  })

  test('a list takes its prefix literally and goes over many pages', async () => {
    const { backend } = open('any:')
    const names = Array.from({ length: 250 }, (_, i) => `p%_${i}`)
    for (const name of [...names, 'p', 'pxx1', 'p%', 'q']) await backend.acquire(claim(name, name))
    await backend.acquire(claim('p%_0', 'waiter'), { ticket: 'new' })
    const listed: string[] = []
    for await (const { name } of backend.list('p%_')) listed.push(name)
    expect(listed.sort()).toEqual(names.sort())
  })

  test('clients with different prefixes never meet', async () => {
    const { backend: a, path } = open('a:')
    const { backend: b } = open('ü:', path)
    const { backend: none } = open('', path)
    expect(await a.acquire(claim('job', 'owner'))).toMatchObject({ status: 'granted' })
    expect(await b.inspect('job')).toBeNull()
    expect(await b.acquire(claim('job', 'owner'))).toMatchObject({ status: 'granted' })
    const listed: string[] = []
    for await (const { name } of none.list('')) listed.push(name)
    expect(listed).toEqual(['a:job', 'ü:job'])
  })

  test('fences are exact up to 2^53', async () => {
    const { backend, path } = open()
    await backend.inspect('job')
    const last = Number.MAX_SAFE_INTEGER - 1
    const raw = openRaw(path, driver)
    raw.run('UPDATE soloist_store SET fence = ?', last - 1)
    raw.close()
    expect(await backend.acquire(claim('a', 'owner'))).toEqual({ status: 'granted', fence: last })
    expect(await backend.acquire(claim('b', 'owner'))).toEqual({ status: 'granted', fence: last + 1 })
    expect((await backend.inspect('a'))?.holders[0]?.fence).toBe(last)
  })
})
