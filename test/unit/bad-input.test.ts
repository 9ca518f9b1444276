import { type LockOptions, type Soloist, SoloistError, type UnlockTarget } from 'soloist'
import { describe, expect, it } from 'vitest'
import { useWorld } from '../support/world.js'

const use = useWorld()

/** What a caller without types may pass. */
const untyped = <T>(value: unknown): T => value as T

const badNames: [string, unknown][] = [
  ['empty', ''],
  ['over 1 KiB', 'x'.repeat(1_025)],
  ['over 1 KiB in UTF-8', 'é'.repeat(513)],
  ['a lone high surrogate', 'a\ud800'],
  ['a lone low surrogate', '\udc00a'],
  ['undefined', undefined],
  ['null', null],
  ['a number', 7],
  ['an object', { toString: () => 'a' }],
]

const badOptions: [string, unknown][] = [
  ['null', null],
  ['a number', 7],
  ['a string', 'x'],
  ['ttlMs 0', { ttlMs: 0 }],
  ['ttlMs below 0', { ttlMs: -1 }],
  ['ttlMs NaN', { ttlMs: Number.NaN }],
  ['ttlMs Infinity', { ttlMs: Number.POSITIVE_INFINITY }],
  ['ttlMs over 24 days', { ttlMs: 24 * 86_400_000 + 1 }],
  ['ttlMs a string', { ttlMs: '1000' }],
  ['ttlMs null', { ttlMs: null }],
  ['ttlMs a bigint', { ttlMs: 1_000n }],
  ['holdForMs below 0', { holdForMs: -1 }],
  ['holdForMs NaN', { holdForMs: Number.NaN }],
  ['holdForMs over 24 days', { holdForMs: 24 * 86_400_000 + 1 }],
  ['holdForMs null', { holdForMs: null }],
  ['meta a number', { meta: 7 }],
  ['meta over 1 KiB', { meta: 'x'.repeat(1_025) }],
  ['meta with a lone surrogate', { meta: '\ud800' }],
  ['meta null', { meta: null }],
  ['signal an object', { signal: {} }],
  ['signal a controller', { signal: new AbortController() }],
  ['signal null', { signal: null }],
]

const badWaits: [string, unknown][] = [
  ['waitMs below 0', { waitMs: -1 }],
  ['waitMs -Infinity', { waitMs: Number.NEGATIVE_INFINITY }],
  ['waitMs NaN', { waitMs: Number.NaN }],
  ['waitMs over 24 days', { waitMs: 24 * 86_400_000 + 1 }],
  ['waitMs a string', { waitMs: '5s' }],
  ['waitMs null', { waitMs: null }],
]

const badLimits: [string, unknown][] = [
  ['0', 0],
  ['below 0', -1],
  ['a fraction', 1.5],
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['over a million', 1_000_001],
  ['a string', '4'],
  ['undefined', undefined],
  ['null', null],
]

const badUnlocks: [string, unknown][] = [
  ['undefined', undefined],
  ['null', null],
  ['nothing in it', {}],
  ['an owner that is no string', { owner: 7 }],
  ['force that is not true', { force: 1 }],
  ['both', { owner: 'x', force: true }],
]

const badPrefixes: [string, unknown][] = [
  ['a number', 7],
  ['null', null],
  ['over 1 KiB', 'x'.repeat(1_025)],
  ['a lone surrogate', '\ud800'],
]

async function expectInvalid(call: (solo: Soloist) => unknown): Promise<void> {
  const { solo, link } = use.world.client()
  const error: unknown = await Promise.resolve()
    .then(() => call(solo))
    .then(
      () => 'no error',
      (thrown: unknown) => thrown,
    )
  expect(error).toBeInstanceOf(SoloistError)
  expect(error).toMatchObject({ code: 'INVALID_ARGUMENT' })
  expect((error as Error).message.length).toBeLessThan(200)
  expect(link.sent).toEqual([])
}

describe('a lock name', () => {
  const verbs: [string, (solo: Soloist, name: string) => unknown][] = [
    ['lock', (solo, name) => solo.lock(name)],
    ['tryLock', (solo, name) => solo.tryLock(name)],
    ['withLock', (solo, name) => solo.withLock(name, () => 'never')],
    ['withLock with others', (solo, name) => solo.withLock(['a', name], () => 'never')],
    ['semaphore', (solo, name) => solo.semaphore(name, 2)],
    ['rwLock', (solo, name) => solo.rwLock(name)],
    ['inspect', (solo, name) => solo.inspect(name)],
    ['unlock', (solo, name) => solo.unlock(name, { force: true })],
  ]
  describe.each(verbs)('of %s', (_, verb) => {
    it.each(badNames)('is not %s', async (_what, name) => {
      await expectInvalid(solo => verb(solo, untyped(name)))
    })
  })

  it('may have any 1,024 bytes otherwise', async () => {
    const { world } = use
    const { solo } = world.client()
    for (const name of ['x'.repeat(1_024), 'é'.repeat(512), '\0', ' ', '\ud83d\ude00']) {
      const lease = await solo.lock(name, { waitMs: 0 })
      expect(world.owners(name)).toEqual([lease.owner])
    }
  })
})

describe('the options', () => {
  const verbs: [string, (solo: Soloist, options: LockOptions) => unknown][] = [
    ['lock', (solo, options) => solo.lock('a', options)],
    ['withLock', (solo, options) => solo.withLock('a', options, () => 'never')],
    ['withLock of several', (solo, options) => solo.withLock(['a', 'b'], options, () => 'never')],
    ['a semaphore', (solo, options) => solo.semaphore('s', 2).lock(options)],
    ['a reader', (solo, options) => solo.rwLock('r').read.withLock(options, () => 'never')],
  ]
  describe.each(verbs)('of %s', (_, verb) => {
    it.each([...badOptions, ...badWaits])('are not %s', async (_what, options) => {
      await expectInvalid(solo => verb(solo, untyped(options)))
    })
  })

  it.each(badOptions)('of tryLock are not %s', async (_, options) => {
    await expectInvalid(solo => solo.tryLock('a', untyped(options)))
  })

  it('may be at the ends of their ranges', async () => {
    const { world } = use
    const { solo } = world.client()
    const longest = 24 * 86_400_000
    const lease = await solo.lock('a', { ttlMs: longest, waitMs: longest, holdForMs: 0, meta: '' })
    expect(world.owners('a')).toEqual([lease.owner])
    const others = [{ waitMs: Number.POSITIVE_INFINITY }, { waitMs: 0.5 }, { ttlMs: 1_000.5 }, { ttlMs: undefined }]
    for (const [i, options] of others.entries()) await solo.lock(`b${i}`, options)
  })
})

describe('withLock', () => {
  it.each([
    ['no work', (solo: Soloist) => solo.withLock('a', untyped<never>(undefined))],
    ['options and no work', (solo: Soloist) => solo.withLock('a', {}, untyped<never>(undefined))],
    ['work that is no function', (solo: Soloist) => solo.withLock(['a'], {}, untyped<never>('work'))],
    ['no names', (solo: Soloist) => solo.withLock([], () => 'never')],
    ['a set of names', (solo: Soloist) => solo.withLock(untyped<string[]>(new Set(['a'])), () => 'never')],
  ])('does not take %s', async (_, call) => {
    await expectInvalid(call)
  })
})

describe('the limit of a semaphore', () => {
  it.each(badLimits)('is not %s', async (_, limit) => {
    await expectInvalid(solo => solo.semaphore('s', untyped(limit)))
  })
})

describe('the target of unlock', () => {
  it.each(badUnlocks)('is not %s', async (_, target) => {
    await expectInvalid(solo => solo.unlock('a', untyped<UnlockTarget>(target)))
  })
})

describe('a prefix', () => {
  it.each(badPrefixes)('of clear is not %s', async (_, prefix) => {
    await expectInvalid(solo => solo.clear(untyped(prefix)))
  })

  it.each(badPrefixes)('of list is not %s', async (_, prefix) => {
    await expectInvalid(solo => solo.list({ prefix: untyped(prefix) }).next())
  })

  it('of list comes in an object', async () => {
    await expectInvalid(solo => solo.list(untyped(null)).next())
    await expectInvalid(solo => solo.list(untyped('a')).next())
  })

  it('of clear is not left out', async () => {
    await expectInvalid(solo => solo.clear(untyped(undefined)))
  })
})
