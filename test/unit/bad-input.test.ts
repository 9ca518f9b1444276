import { connect, type LockOptions, memoryBackend, Soloist, SoloistError, type UnlockTarget } from 'soloist'
import { redisBackend } from 'soloist/redis'
import { sqliteBackend } from 'soloist/sqlite'
import { describe, expect, it } from 'vitest'
import { useWorld } from '../support/world.js'

const use = useWorld()

/** What a caller without types may pass. */
const untyped = <T>(value: unknown): T => value as T

/** How a caller without types sees a client. */
type AnyVerbs = Record<'semaphore' | 'rwLock' | 'withLock' | 'job', (...args: unknown[]) => unknown>

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
  expect((error as Error).message.length).toBeLessThan(300)
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

describe('an option there is not', () => {
  const calls: [string, (solo: Soloist, options: never) => unknown][] = [
    ['lock', (solo, options) => solo.lock('a', options)],
    ['tryLock', (solo, options) => solo.tryLock('a', options)],
    ['withLock', (solo, options) => solo.withLock('a', options, () => 'never')],
    ['withLock of several', (solo, options) => solo.withLock(['a', 'b'], options, () => 'never')],
    ['lock of a semaphore', (solo, options) => solo.semaphore('s', 2).lock(options)],
    ['tryLock of a semaphore', (solo, options) => solo.semaphore('s', 2).tryLock(options)],
    ['withLock of a semaphore', (solo, options) => solo.semaphore('s', 2).withLock(options, () => 'never')],
    ['lock of a reader', (solo, options) => solo.rwLock('r').read.lock(options)],
    ['tryLock of a reader', (solo, options) => solo.rwLock('r').read.tryLock(options)],
    ['withLock of a writer', (solo, options) => solo.rwLock('r').write.withLock(options, () => 'never')],
    ['list', (solo, options) => solo.list(options).next()],
    ['unlock', (solo, options) => solo.unlock('a', { force: true, ...(options as object) } as UnlockTarget)],
    ['jobs.take', (solo, options) => solo.jobs.take('job:mail:v1:0', 'o', options)],
    ['jobs.claim', (solo, options) => solo.jobs.claim('job:mail:v1:0', 'o', options)],
    ['a job', (solo, options) => solo.job('mail', options, () => 'never')],
  ]
  it.each(calls)('is refused by %s, and nothing is sent', async (_, call) => {
    await expectInvalid(solo => call(solo, untyped({ prioritaet: 1 })))
    await expectInvalid(solo => call(solo, untyped({ ['long'.repeat(1_000)]: 1 })))
  })

  // What other libraries call it, and what it is called here.
  it.each([
    ['wait', 'waitMs'],
    ['waitMS', 'waitMs'],
    ['timeout', 'waitMs or ttlMs'],
    ['acquireTimeout', 'waitMs'],
    ['acquire_timeout_ms', 'waitMs'],
    ['blocking_timeout', 'waitMs'],
    ['retries', 'waitMs'],
    ['retryCount', 'waitMs'],
    ['ttl', 'ttlMs'],
    ['TTL', 'ttlMs'],
    ['lockTimeout', 'ttlMs'],
    ['duration', 'ttlMs'],
    ['expire', 'ttlMs'],
    ['expirySeconds', 'ttlMs'],
    ['stale', 'ttlMs'],
    ['PX', 'ttlMs'],
    ['refreshInterval', 'ttlMs'],
    ['abortSignal', 'signal'],
    ['holdFor', 'holdForMs'],
    ['metadata', 'meta'],
  ])('%s is answered with the right name: %s', async (name, right) => {
    const { solo } = use.world.client()
    await expect(solo.lock('a', untyped({ [name]: 5 }))).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: `there is no option "${name}": did you mean ${right}? The options are waitMs, ttlMs, holdForMs, meta, onLost, outlivesProcess, signal`,
    })
  })

  it('is answered with what the call at hand has', async () => {
    const { solo } = use.world.client()
    const message = (text: string) => expect.objectContaining({ message: expect.stringContaining(text) })
    expect(() => solo.job('mail', untyped<object>({ retries: 3 }), () => 'never')).toThrow(message('mean attempts?'))
    await expect(solo.tryLock('a', untyped({ waitMs: 5 }))).rejects.toEqual(message('tryLock never waits'))
    await expect(solo.list(untyped({ keyPrefix: 'a' })).next()).rejects.toEqual(message('mean prefix?'))
    // Names that every object has are no options either.
    await expect(solo.lock('a', untyped({ constructor: 1 }))).rejects.toEqual(message('no option "constructor"; the'))
  })

  it('may be undefined', async () => {
    const { world } = use
    const lease = await world.client().solo.lock('a', untyped({ wait: undefined }))
    expect(world.owners('a')).toEqual([lease.owner])
  })

  it.each([
    ['semaphore', (solo: AnyVerbs) => solo.semaphore('s', 2, {})],
    ['rwLock', (solo: AnyVerbs) => solo.rwLock('r', { waitMs: 5 })],
    ['withLock after the function', (solo: AnyVerbs) => solo.withLock('a', () => 1, {})],
    ['withLock of several after the function', (solo: AnyVerbs) => solo.withLock(['a'], () => 1, {})],
    ['job after the function', (solo: AnyVerbs) => solo.job('a', () => 1, {})],
  ])('is not where options are not taken: %s', async (_, call) => {
    await expectInvalid(solo => call(untyped(solo)))
  })

  it('is refused where stores are opened', () => {
    const invalid = expect.objectContaining({ code: 'INVALID_ARGUMENT' })
    expect(() => connect('memory:', untyped({ timeout: 5 }))).toThrow(invalid)
    expect(() => new Soloist(memoryBackend(), untyped({ prefix: 'a' }))).toThrow(invalid)
    expect(() => memoryBackend(untyped({ prefix: 'a' }))).toThrow(invalid)
    expect(() => redisBackend('redis://127.0.0.1', untyped({ keyPrefix: 'a' }))).toThrow(invalid)
    expect(() => sqliteBackend('never.db', untyped({ timeout: 5 }))).toThrow(invalid)
  })

  it('does not compile', () => {
    const never = (solo: Soloist, options: LockOptions, misspelt: { wait: number }) => [
      // @ts-expect-error: it is waitMs
      solo.lock('a', { wait: 5 }),
      // @ts-expect-error: also where it is not written in the call
      solo.lock('a', misspelt),
      // @ts-expect-error: tryLock does not wait
      solo.tryLock('a', { waitMs: 5 }),
      // @ts-expect-error: nor with options that were made for lock
      solo.tryLock('a', options),
      // @ts-expect-error: options go to the verbs
      solo.semaphore('s', 2, { waitMs: 5 }),
      // @ts-expect-error: options go to the verbs
      solo.rwLock('r', { waitMs: 5 }),
      // @ts-expect-error: options come first
      solo.withLock('a', () => 1, { waitMs: 5 }),
    ]
    expect(never).toBeTypeOf('function')
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
