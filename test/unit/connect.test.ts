import { join } from 'node:path'
import { connect, defaultUrl, MemoryStore, memoryBackend, SoloistError } from 'soloist'
import { afterEach, describe, expect, it, vi } from 'vitest'

afterEach(() => {
  vi.unstubAllEnvs()
})

/** The error of a call that must not be taken. */
function refusal(call: () => unknown): SoloistError {
  try {
    call()
  } catch (error) {
    expect(error).toBeInstanceOf(SoloistError)
    return error as SoloistError
  }
  throw new Error('it was taken')
}

describe('connect', () => {
  it('opens a memory store of its own', async () => {
    await using one = connect('memory:')
    await using two = connect('memory:')
    expect(one.backendKind).toBe('memory')
    expect(one.clientId).not.toBe(two.clientId)
    const a = await one.lock('a', { waitMs: 0 })
    const b = await two.lock('a', { waitMs: 0 })
    expect((await one.inspect('a'))?.holders.map(({ owner }) => owner)).toEqual([a.owner])
    expect((await two.inspect('a'))?.holders.map(({ owner }) => owner)).toEqual([b.owner])
  })

  it('takes a backend, and two of them on one store share its locks', async () => {
    const store = new MemoryStore()
    await using one = connect(memoryBackend({ store }))
    await using two = connect(memoryBackend({ store }))
    const lease = await one.lock('a')
    expect(await two.tryLock('a')).toBeNull()
    expect((await two.inspect('a'))?.holders).toMatchObject([{ owner: lease.owner, fence: lease.fence }])
  })

  it('goes by SOLOIST_URL when it is given nothing, also by an empty one', () => {
    vi.stubEnv('SOLOIST_URL', 'memory:')
    expect(connect().backendKind).toBe('memory')
    vi.stubEnv('SOLOIST_URL', 'nonsense')
    expect(refusal(() => connect()).code).toBe('INVALID_ARGUMENT')
  })

  it('has a default of one file per user', () => {
    vi.stubEnv('XDG_STATE_HOME', join('/', 'state'))
    expect(defaultUrl()).toBe(`sqlite:${join('/', 'state', 'soloist', 'soloist.db')}`)
    vi.stubEnv('HOME', join('/', 'home', 'someone'))
    for (const none of ['', 'relative']) {
      vi.stubEnv('XDG_STATE_HOME', none)
      expect(defaultUrl()).toBe(`sqlite:${join('/', 'home', 'someone', '.local', 'state', 'soloist', 'soloist.db')}`)
    }
    for (const none of ['', 'relative']) {
      vi.stubEnv('HOME', none)
      expect(refusal(() => connect()).message).toContain('no home folder with an absolute path; name a store')
    }
  })

  it('takes no option that there is not', () => {
    const error = refusal(() => connect('memory:', { perfix: 'a' } as never))
    expect(error.message).toBe(
      'there is no option "perfix"; the options are prefix, hashTags, restartGuardMs, callTimeoutMs, clock, random',
    )
  })

  it.each<[string, unknown]>([
    ['an empty string', ''],
    ['no URL', 'localhost'],
    ['a path', '/tmp/locks.db'],
    ['a scheme it does not know', 'mysql://user:hunter2@db/x'],
    ['a memory URL with more in it', 'memory://hunter2'],
    ['a scheme that is part of another', 'redisx://:hunter2@host'],
    ['a secret without a scheme', 'hunter2:6379'],
    ['null', null],
    ['a number', 6379],
    ['an object that is no backend', { get: () => 'hunter2' }],
    ['a function', () => 'hunter2'],
  ])('does not take %s, and does not repeat it', (_, target) => {
    const error = refusal(() => connect(target as string))
    expect(error.code).toBe('INVALID_ARGUMENT')
    expect(error.message).not.toContain('hunter2')
    expect(error.cause).toBeUndefined()
  })

  it.each<[string, unknown]>([
    ['null options', null],
    ['options that are a string', 'soloist:'],
    ['a prefix that is no string', { prefix: 7 }],
    ['a prefix that is null', { prefix: null }],
    ['a prefix with a lone surrogate', { prefix: '\ud800' }],
    ['a prefix over 1 KiB', { prefix: 'x'.repeat(1_025) }],
    ['callTimeoutMs 0', { callTimeoutMs: 0 }],
    ['callTimeoutMs NaN', { callTimeoutMs: Number.NaN }],
    ['callTimeoutMs Infinity', { callTimeoutMs: Number.POSITIVE_INFINITY }],
    ['callTimeoutMs null', { callTimeoutMs: null }],
    ['callTimeoutMs a string', { callTimeoutMs: '5s' }],
  ])('does not take %s, for whatever target', (_, options) => {
    for (const target of ['memory:', 'redis://127.0.0.1:1', 'nonsense']) {
      expect(refusal(() => connect(target, options as object)).code).toBe('INVALID_ARGUMENT')
    }
  })

  it('takes an empty prefix', async () => {
    await using solo = connect('memory:', { prefix: '' })
    await solo.lock('a')
  })

  it('takes no prefix for a backend, which has its own', () => {
    expect(refusal(() => connect(memoryBackend(), { prefix: 'x' })).code).toBe('INVALID_ARGUMENT')
  })

  it('takes a backend once, since its grants go to one client', async () => {
    const backend = memoryBackend()
    await using solo = connect(backend)
    expect(refusal(() => connect(backend)).code).toBe('INVALID_ARGUMENT')
    const lease = await solo.lock('a')
    expect((await solo.inspect('a'))?.holders).toMatchObject([{ owner: lease.owner }])
  })
})
