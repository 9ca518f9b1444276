import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { jobKey, jobLockNames, parseJobLock, SoloistError } from 'soloist'
import { describe, expect, test } from 'vitest'

const hashOf = (text: string) => `v1:${createHash('sha256').update(text).digest('hex')}`

/** The same data with the keys of every object in the opposite order. */
function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, member]) => [key, reversed(member)]),
  )
}

function refusal(make: () => unknown): { code: string; message: string; cause: unknown } {
  try {
    make()
  } catch (error) {
    if (error instanceof SoloistError) return { code: error.code, message: error.message, cause: error.cause }
    throw error
  }
  throw new Error('it was not refused')
}

describe('the key of a job', () => {
  test.each([
    [
      'an object, its keys by UTF-16 code units',
      { b: 1, a: { '\u{1f600}': 1, '\ufb33': 2 }, A: [] },
      '{"A":[],"a":{"\u{1f600}":1,"\ufb33":2},"b":1}',
    ],
    ['numbers as JSON writes them', [1.0, -0, 1e21, 1e-7, 0.1 + 0.2], '[1,0,1e+21,1e-7,0.30000000000000004]'],
    ['text, escaped no more than needed', ['"\\\u0007\u2028é'], '["\\"\\\\\\u0007\u2028é"]'],
    ['nothing at all', undefined, 'null'],
    ['members that are undefined, which count as absent', { a: undefined, b: [undefined, 1] }, '{"b":[null,1]}'],
    ['a hole in an array', Object.assign([1], { 2: 2 }), '[1,null,2]'],
    ['an object without a prototype', Object.assign(Object.create(null), { a: 1 }), '{"a":1}'],
    ['an object of another realm', runInNewContext('({ a: [{}] })'), '{"a":[{}]}'],
    ['the same object twice', ((o: object) => [o, o])({ a: 1 }), '[{"a":1},{"a":1}]'],
    ['a key named like the prototype', JSON.parse('{"__proto__":{"b":1},"a":2}'), '{"__proto__":{"b":1},"a":2}'],
  ])('hashes %s', (_, args, text) => {
    expect(jobKey(args)).toBe(hashOf(text))
  })

  test('does not depend on the order of keys, and tells different data apart', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (one, two) => {
        expect(jobKey(reversed(one))).toBe(jobKey(one))
        const [first, second] = [one, two].map(value => JSON.parse(JSON.stringify(value)))
        expect(jobKey(one) === jobKey(two)).toBe(isDeepStrictEqual(first, second))
      }),
    )
  })

  test('is made of some fields only, or of what a function returns', () => {
    const args = { user: { id: 7, name: 'x' }, at: 123, again: true }
    expect(jobKey(args, { uniqueOn: ['user', 'again'] })).toBe(hashOf('{"again":true,"user":{"id":7,"name":"x"}}'))
    expect(jobKey(args, { uniqueOn: ['again', 'user'] })).toBe(jobKey(args, { uniqueOn: ['user', 'again'] }))
    expect(jobKey(args, { uniqueOn: ['again', 'again'] })).toBe(hashOf('{"again":true}'))
    expect(jobKey(args, { uniqueOn: [] })).toBe(hashOf('{}'))
    expect(jobKey(args, { uniqueOn: ({ user }) => user.id })).toBe(hashOf('7'))
  })

  test('takes what a serializer makes of values JSON has no word for', () => {
    const args = { at: new Date(0), big: 12n, map: new Map([['a', new Date(1)]]) }
    const serialize = (value: unknown) =>
      value instanceof Date ? value.toISOString() : value instanceof Map ? [...value] : String(value)
    expect(jobKey(args, { serialize })).toBe(
      hashOf('{"at":"1970-01-01T00:00:00.000Z","big":"12","map":[["a","1970-01-01T00:00:00.001Z"]]}'),
    )
  })

  class Account {}
  const cycle: { inner: unknown[] } = { inner: [] }
  cycle.inner.push(cycle)
  test.each<[string, unknown, string]>([
    ['a function', { call: () => 1 }, 'a function at .call'],
    ['a symbol', [Symbol('s')], 'a symbol at [0]'],
    ['a symbol as a key', { [Symbol('s')]: 1 }, 'a symbol'],
    ['a cycle', cycle, 'a cycle at .inner[0]'],
    ['NaN', { a: [0, Number.NaN] }, 'NaN at .a[1]'],
    ['an infinity', -Infinity, '-Infinity'],
    ['a BigInt', { a: 1n }, 'a BigInt at .a'],
    ['a Date', { at: new Date() }, 'an instance of Date at .at'],
    ['a Map', new Map(), 'an instance of Map'],
    ['a class instance', [new Account()], 'an instance of Account at [0]'],
    ['a boxed text', { a: Object('x') }, 'an instance of String at .a'],
  ])('refuses %s', (_, args, what) => {
    expect(refusal(() => jobKey(args))).toEqual({
      code: 'INVALID_ARGUMENT',
      message: `job arguments must be JSON data; there is ${what}`,
      cause: undefined,
    })
  })

  test('refuses a field that is not there, and what a function of the user throws or leaves out', () => {
    const args: { a?: number; b: undefined } = { b: undefined }
    const broken = new Error('broken')
    const fail = () => {
      throw broken
    }
    expect(refusal(() => jobKey(args, { uniqueOn: ['a'] })).message).toContain('"a", which is not there')
    expect(refusal(() => jobKey(args, { uniqueOn: ['b'] })).message).toContain('"b", which is not there')
    expect(refusal(() => jobKey(undefined, { uniqueOn: ['toString' as never] })).code).toBe('INVALID_ARGUMENT')
    expect(refusal(() => jobKey({}, { uniqueOn: ['toString' as never] })).code).toBe('INVALID_ARGUMENT')
    expect(refusal(() => jobKey(args, { uniqueOn: fail }))).toMatchObject({ code: 'INVALID_ARGUMENT', cause: broken })
    expect(refusal(() => jobKey(1n, { serialize: fail }))).toMatchObject({ code: 'INVALID_ARGUMENT', cause: broken })
    expect(refusal(() => jobKey(args, { uniqueOn: () => undefined })).code).toBe('INVALID_ARGUMENT')
    expect(refusal(() => jobKey(1n, { serialize: () => undefined })).code).toBe('INVALID_ARGUMENT')
    // A serializer that returns what it got is not called for ever.
    expect(refusal(() => jobKey(1n, { serialize: value => value })).code).toBe('INVALID_ARGUMENT')
    expect(refusal(() => jobKey(JSON.parse(`${'['.repeat(5000)}${']'.repeat(5000)}`))).code).toBe('INVALID_ARGUMENT')
  })
})

describe('the names of job locks', () => {
  const key = jobKey(1)

  test.each(['sync', 'a:b', ':', 'job:x:run', `x:${key}`, `x:${key}:next`, 'zwei\nZeilen', 'é'.repeat(450)])(
    'can be taken apart again: %j',
    job => {
      const names = jobLockNames(job, key)
      for (const part of ['trigger', 'run', 'next', 'stop'] as const) {
        expect(parseJobLock(names[part])).toEqual({ job, key, part })
      }
    },
  )

  test('are told from other locks', () => {
    for (const name of ['report', 'job:report', `job::${key}`, `job:a:${key}:other`, `job:a:${key.toUpperCase()}`]) {
      expect(parseJobLock(name)).toBeNull()
    }
  })

  test('are refused for job names and keys that cannot be taken', () => {
    for (const job of ['', 'x'.repeat(901), '\ud800', 7 as never]) {
      expect(refusal(() => jobLockNames(job, key)).code).toBe('INVALID_ARGUMENT')
    }
    for (const bad of ['', 'v1:', `v2:${key.slice(3)}`, `${key}:run`]) {
      expect(refusal(() => jobLockNames('a', bad)).code).toBe('INVALID_ARGUMENT')
    }
  })
})
