import { celeryLockKey, pyFloat, pythonJson } from 'soloist/celery'
import { describe, expect, test } from 'vitest'

const refused = expect.objectContaining({ code: 'INVALID_ARGUMENT' })
const cycle: unknown[] = []
cycle.push({ again: cycle })

describe('numbers', () => {
  test.each([
    [1, '1'],
    [-0, '0'],
    [2 ** 53 - 1, '9007199254740991'],
    [0.5, '0.5'],
    [1e-7, '1e-07'],
    [10n ** 30n, '1000000000000000000000000000000'],
    [pyFloat(1), '1.0'],
    [pyFloat(-0), '-0.0'],
    [pyFloat(1e16), '1e+16'],
    [pyFloat(Number.NaN), 'NaN'],
    [pyFloat(-Infinity), '-Infinity'],
  ])('%s is written %s', (value, text) => {
    expect(pythonJson(value)).toBe(text)
  })

  test.each([2 ** 53, -(2 ** 53), 1e21, 1e300, Number.NaN, Infinity])('%s needs to be said more clearly', value => {
    expect(() => pythonJson({ value })).toThrow(refused)
  })

  test('JSON.stringify writes a pyFloat only where Python reads a float again', () => {
    expect(JSON.stringify([pyFloat(0.5), pyFloat(1e21), pyFloat(1e-7)])).toBe('[0.5,1e+21,1e-7]')
    for (const value of [1, -0, 1e16, Number.NaN, Infinity]) {
      expect(() => JSON.stringify({ value: pyFloat(value) })).toThrow(refused)
    }
  })
})

describe('what JSON has no word for', () => {
  test.each([
    ['a function', () => 1],
    ['a symbol', Symbol('s')],
    ['a Date', new Date(0)],
    ['a Map', new Map()],
    ['an instance', new URL('http://user:secret@host')],
    ['a cycle', cycle],
    ['a key that is a symbol', { [Symbol('s')]: 1 }],
  ])('%s is refused and not repeated', (_, value) => {
    for (const at of [() => celeryLockKey('t', [value]), () => celeryLockKey('t', [], { a: { b: value } })]) {
      expect(at).toThrow(refused)
      expect(at).not.toThrow(/secret/)
    }
  })

  test('what `serialize` makes of it counts', () => {
    const serialize = (value: unknown) => (value instanceof Date ? value.toISOString() : String(value))
    const at = new Date(0)
    expect(celeryLockKey('t', [at], { n: Number.NaN }, { serialize })).toBe(
      celeryLockKey('t', ['1970-01-01T00:00:00.000Z'], { n: 'NaN' }),
    )
    const cause = new Error('mine')
    const broken = () => {
      throw cause
    }
    const error = expect.objectContaining({ code: 'INVALID_ARGUMENT', cause })
    expect(() => celeryLockKey('t', [at], {}, { serialize: broken })).toThrow(error)
    expect(() => celeryLockKey('t', [at], {}, { serialize: () => undefined })).toThrow(refused)
    expect(() => celeryLockKey('t', [at], {}, { serialize: value => value })).toThrow(refused)
  })

  test('a member that is undefined is not there, an element that is undefined is None', () => {
    expect(celeryLockKey('t', [undefined], { a: undefined, b: 1 })).toBe(celeryLockKey('t', [null], { b: 1 }))
  })

  test('the same object twice is no cycle', () => {
    const shared = { a: 1 }
    expect(pythonJson([shared, shared])).toBe('[{"a": 1}, {"a": 1}]')
  })

  test.each([
    ['no name', ['']],
    ['a lone surrogate', ['\ud800']],
    ['no string', [1]],
    ['arguments that are no array', ['t', {}]],
    ['keyword arguments that are an array', ['t', [], []]],
    ['keyword arguments that are null', ['t', [], null]],
    ['a prefix that is no string', ['t', [], {}, { prefix: 1 }]],
    ['parameters that are none', ['t', [], {}, { parameters: ['a b'] }]],
    ['serialize that is none', ['t', [], {}, { serialize: {} }]],
    ['options that are none', ['t', [], {}, null]],
  ])('%s is refused', (_, args) => {
    expect(() => (celeryLockKey as (...args: unknown[]) => string)(...args)).toThrow(refused)
  })
})

describe('uniqueOn', () => {
  const parameters = ['user', 'force']
  const on = (args: unknown[], kwargs: Record<string, unknown>, uniqueOn: string | string[], names = parameters) =>
    celeryLockKey('t', args, kwargs, { uniqueOn, parameters: names })

  test('is the same by place and by name, and needs no parameters where all are given by name', () => {
    const lock = celeryLockKey('t', [], { user: 7 })
    expect(on([7, true], {}, 'user')).toBe(lock)
    expect(on([7], { force: false }, ['user'])).toBe(lock)
    expect(on([], { user: 7, force: true }, 'user')).toBe(lock)
    expect(celeryLockKey('t', [], { force: 1, user: 7 }, { uniqueOn: 'user' })).toBe(lock)
  })

  test('of no name is the same as none: all arguments count, as with celery-singleton 0.3.1', () => {
    expect(on([7], { force: 1 }, [])).toBe(celeryLockKey('t', [7], { force: 1 }))
    expect(celeryLockKey('t', [7], {}, { uniqueOn: [] })).toBe(celeryLockKey('t', [7]))
    expect(on([7], {}, [])).not.toBe(on([8], {}, []))
  })

  test.each([
    ['names what is not given, even if it has a default', [7], {}, 'force'],
    ['names no parameter', [7], {}, 'users'],
    ['meets too many arguments', [1, 2, 3], {}, 'user'],
    ['meets one that is given twice', [1], { user: 2 }, 'user'],
    ['meets one that the task has not', [1], { users: 2 }, 'user'],
  ] as const)('that %s is refused', (_, args, kwargs, uniqueOn) => {
    expect(() => on([...args], kwargs, uniqueOn)).toThrow(refused)
  })

  test('that cannot tell which argument is which is refused', () => {
    expect(() => celeryLockKey('t', [7], {}, { uniqueOn: 'user' })).toThrow(refused)
    expect(() => celeryLockKey('t', [], {}, { uniqueOn: 7 as never })).toThrow(refused)
  })

  test.each([
    [['a', 'a']],
    [['*a', '*b']],
    [['*', 'a', '/']],
    [['**a', 'b']],
    [['**a', '**b']],
    [['a', '/', '/']],
    [['/']],
    [['*']],
    [['*', '**a']],
    [['**']],
    [['a=1']],
    ['a, b' as never],
  ])('with parameters that are no signature in Python is refused: %j', names => {
    expect(() => celeryLockKey('t', [], {}, { parameters: names })).toThrow(refused)
  })
})
