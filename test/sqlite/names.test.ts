import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
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
} from './support.js'

const folder = temporaryFolder()
closeClientsAfterEach()

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
  "'; DROP TABLE soloist_alone; --",
  '?1',
  '__proto__',
  'x'.repeat(1_024),
]

describe.each(drivers)('names, through %s', driver => {
  function open(prefix?: string, path = newPath(folder)): { client: Client; path: string } {
    return { client: openClient(path, driver, prefix === undefined ? {} : { prefix }), path }
  }

  test('different names are different locks, whatever bytes they hold', async () => {
    const { client, path } = open()
    for (const [i, name] of odd.entries()) {
      expect(await client.acquire(claim(name, `owner-${i}`, { meta: name }))).toMatchObject({ status: 'granted' })
    }
    for (const [i, name] of odd.entries()) {
      const state = await client.inspect(name)
      expect(state).toMatchObject({ name, holders: [{ owner: `owner-${i}`, meta: name }] })
    }
    const listed = new Set<string>()
    for await (const { name } of client.backend.list('')) listed.add(name)
    expect(listed).toEqual(new Set(odd))
    for (const [i, name] of odd.entries()) await client.release(claim(name, `owner-${i}`))
    expect(rowCounts(path, driver)).toEqual(noRows)
  })

  test('so are owners, and a grant names its claim exactly', async () => {
    const { client } = open()
    const name = 'lock\0name'
    await client.acquire(claim(name, 'a\0b'))
    expect(await client.release(claim(name, 'a'))).toEqual({ status: 'released', held: false })
    expect(await client.acquire(claim(name, 'a\0c'), { ticket: 'new' })).toMatchObject({ holder: 'a\0b' })
    await client.release(claim(name, 'a\0b'))
    expect(client.handed).toMatchObject([{ name, owner: 'a\0c' }])
  })

  test('any two names and prefixes', async () => {
    const { client } = open()
    const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 20 })
    await fc.assert(
      fc.asyncProperty(text, text, async (a, b) => {
        await client.acquire(claim(a, 'first'))
        const second = await client.acquire(claim(b, 'second'))
        const starts: string[] = []
        for await (const { name } of client.backend.list(a)) starts.push(name)
        await client.release(claim(a, 'first'))
        await client.release(claim(b, 'second'))
        expect(second.status).toBe(a === b ? 'busy' : 'granted')
        expect(new Set(starts)).toEqual(new Set([a, b].filter(name => name.startsWith(a))))
      }),
    )
  })

  test('a list takes its prefix literally and goes over many pages', async () => {
    const { client } = open('any:')
    const names = Array.from({ length: 250 }, (_, i) => `p%_${i}`)
    for (const name of [...names, 'p', 'pxx1', 'p%', 'q']) await client.acquire(claim(name, name))
    await client.acquire(claim('p%_0', 'waiter'), { ticket: 'new' })
    const listed: string[] = []
    for await (const { name } of client.backend.list('p%_')) listed.push(name)
    expect(listed.sort()).toEqual(names.sort())
  })

  test('clients with different prefixes never meet', async () => {
    const { client: a, path } = open('a:')
    const { client: b } = open('ü:', path)
    const { client: none } = open('', path)
    expect(await a.acquire(claim('job', 'owner'))).toMatchObject({ status: 'granted' })
    expect(await b.inspect('job')).toBeNull()
    expect(await b.acquire(claim('job', 'owner'))).toMatchObject({ status: 'granted' })
    const listed: string[] = []
    for await (const { name } of none.backend.list('')) listed.push(name)
    expect(listed).toEqual(['a:job', 'ü:job'])
  })

  test('fences are exact up to 2^53', async () => {
    const { client, path } = open()
    await client.inspect('job')
    const last = Number.MAX_SAFE_INTEGER - 1
    const raw = openRaw(path, driver)
    raw.run('UPDATE soloist_store SET fence = ?', last - 1)
    raw.close()
    expect(await client.acquire(claim('a', 'owner'))).toEqual({ status: 'granted', fence: last })
    expect(await client.acquire(claim('b', 'owner'))).toEqual({ status: 'granted', fence: last + 1 })
    expect((await client.inspect('a'))?.holders[0]?.fence).toBe(last)
  })
})
