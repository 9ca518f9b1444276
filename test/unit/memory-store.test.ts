import {
  type AcquireAnswer,
  type Claim,
  type KeptResult,
  type LockState,
  MemoryStore,
  memoryBackend,
  type StoreEvent,
} from 'soloist'
import { describe, expect, it } from 'vitest'
import { ManualClock } from '../support/manual-clock.js'

function claim(fields: Partial<Claim> = {}): Claim {
  const base = { name: 'a', owner: 'o', mode: 'exclusive', limit: null, ttlMs: 1_000, meta: null } as const
  return { ...base, ...fields }
}

/** How a claim is asked for: whether it is queued, whom it replaces, and by which client. */
interface How {
  readonly ticket?: 'new' | number
  readonly replaces?: string
  readonly client?: string
}

function acquire(store: MemoryStore, claim: Claim, { ticket, replaces, client = 'c' }: How = {}): AcquireAnswer {
  const step = { kind: 'acquire', claim, ticket: ticket ?? null, replaces: replaces ?? null } as const
  return store.run(client, [step]).steps[0] as AcquireAnswer
}

function renew(store: MemoryStore, { name, owner, ttlMs }: Claim): string | undefined {
  return store.run('c', [{ kind: 'renew', name, owner, ttlMs, fence: null }]).steps[0]?.status
}

/** Whether it was held until then. */
function release(store: MemoryStore, { name, owner }: Claim, result: KeptResult | null = null): boolean {
  const [answer] = store.run('c', [{ kind: 'release', name, owner, result }]).steps
  return answer?.status === 'released' && answer.held
}

function setup(): { clock: ManualClock; store: MemoryStore; owners(name?: string): string[] } {
  const clock = new ManualClock()
  const store = new MemoryStore(clock)
  store.subscribe('c', () => {})
  return { clock, store, owners: (name = 'a') => (store.inspect(name)?.holders ?? []).map(({ owner }) => owner) }
}

/** Milliseconds of processor time, which others on this machine do not add to: the best of three runs. */
function cost(run: (count: number) => void, count: number): number {
  const times = [1, 2, 3].map(() => {
    const before = process.cpuUsage()
    run(count)
    // The sum alone is exact: the kernel estimates how it is shared out, and may call a whole short run `system`.
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1_000
  })
  return Math.min(...times)
}

describe('the memory store', () => {
  it('keeps no trace of locks that ran out unnoticed', () => {
    const { clock, store } = setup()
    for (let i = 0; i < 5_000; i++) {
      acquire(store, claim({ name: `lock-${i}`, ttlMs: 10 }))
      clock.block(1)
    }
    expect(store.names('').length).toBeLessThan(1_100)
    expect(store.names('lock-').filter(name => store.inspect(name) !== null)).toHaveLength(9)
  })

  it('keeps no trace of a renewal or a release of what is not there', () => {
    const { store } = setup()
    expect(renew(store, claim())).toBe('lost')
    expect(release(store, claim())).toBe(false)
    expect(store.names('')).toEqual([])
  })

  it('lets a claim pass waiters that died', () => {
    const { clock, store, owners } = setup()
    const shared = { mode: 'shared', limit: 1, ttlMs: 1_000 } as const
    acquire(store, claim({ ...shared, owner: 'holder' }))
    acquire(store, claim({ ...shared, owner: 'dead' }), { ticket: 'new', client: 'gone' })
    clock.block(1_000)
    const other = { ...shared, owner: 'other', limit: 2 }
    expect(acquire(store, claim(other))).toMatchObject({ status: 'granted' })
    expect(owners()).toEqual(['other'])
  })

  it('does not let a waiter die while its client asks for another one', () => {
    const { clock, store, owners } = setup()
    acquire(store, claim({ owner: 'holder', ttlMs: 60_000 }))
    acquire(store, claim({ owner: 'first' }), { ticket: 'new' })
    clock.block(20_000)
    acquire(store, claim({ owner: 'second' }), { ticket: 'new' })
    release(store, claim({ owner: 'holder' }))
    expect(owners()).toEqual(['first'])
  })

  it('tells nobody of a grant to a client that has gone meanwhile', async () => {
    const { store } = setup()
    const events: StoreEvent[] = []
    store.subscribe('d', event => events.push(event))
    acquire(store, claim({ owner: 'holder' }))
    acquire(store, claim({ owner: 'next' }), { ticket: 'new', client: 'd' })
    release(store, claim({ owner: 'holder' }))
    store.unsubscribe('d')
    await new Promise(resolve => setImmediate(resolve))
    expect(events).toEqual([])
  })

  it('tells a client of its own grants in the answer, and gives them their own ttl', async () => {
    const { store, clock } = setup()
    const events: StoreEvent[] = []
    store.subscribe('c', event => events.push(event))
    acquire(store, claim({ owner: 'holder', ttlMs: 60_000 }))
    acquire(store, claim({ owner: 'next', ttlMs: 40_000 }), { ticket: 'new' })
    const { handed } = store.run('c', [{ kind: 'release', name: 'a', owner: 'holder', result: null }])
    const [holder] = store.inspect('a')?.holders ?? []
    expect(handed).toEqual([{ name: 'a', owner: 'next', fence: holder?.fence }])
    expect(holder?.expiresAtMs).toBe(clock.wallMs() + 40_000)
    await new Promise(resolve => setImmediate(resolve))
    expect(events).toEqual([])
  })

  it('takes a claim out of the queue when it takes the lock from another', () => {
    const { store, owners } = setup()
    acquire(store, claim({ owner: 'old' }))
    acquire(store, claim({ owner: 'new' }), { ticket: 'new' })
    expect(acquire(store, claim({ owner: 'new' }), { replaces: 'old' })).toMatchObject({ status: 'granted' })
    expect(owners()).toEqual(['new'])
    expect(store.inspect('a')?.waiting).toBe(0)
  })

  it('keeps the order of tickets when old ones come back', () => {
    const { store } = setup()
    acquire(store, claim({ owner: 'holder', ttlMs: 60_000 }))
    for (const ticket of [50, 20, 40, 30, 10]) acquire(store, claim({ owner: `t${ticket}` }), { ticket })
    expect(store.inspect('a')?.waiters.map(({ owner }) => owner)).toEqual(['t10', 't20', 't30', 't40', 't50'])
  })

  it('tells those who watch an owner that the lock was taken from it', async () => {
    const { store } = setup()
    const events: StoreEvent[] = []
    store.subscribe('d', event => events.push(event))
    acquire(store, claim({ owner: 'old' }))
    expect(store.watch('d', { name: 'a', owner: 'old' })).toEqual({ status: 'live' })
    acquire(store, claim({ owner: 'new' }), { replaces: 'old' })
    await new Promise(resolve => setImmediate(resolve))
    expect(events).toEqual([{ type: 'ended', name: 'a', owner: 'old' }])
    expect(store.watch('d', { name: 'a', owner: 'old' })).toEqual({ status: 'gone' })
  })

  it('does not tell a client that was silent for three beats', async () => {
    const { clock, store } = setup()
    const events: StoreEvent[] = []
    store.subscribe('d', event => events.push(event))
    for (const name of ['a', 'b']) {
      acquire(store, claim({ name, ttlMs: null }))
      store.watch('d', { name: name, owner: 'o' })
    }
    clock.block(12_000)
    store.watch('d', { name: 'b', owner: 'o' })
    clock.block(1)
    for (const name of ['a', 'b']) release(store, claim({ name }), { text: name, keepMs: 1_000 })
    await new Promise(resolve => setImmediate(resolve))
    expect(events).toEqual([{ type: 'ended', name: 'b', owner: 'o' }])
    expect(store.watch('d', { name: 'a', owner: 'o' })).toEqual({ status: 'result', text: 'a' })
  })

  it('costs ten thousand waiters little more than ten times what it costs a thousand', () => {
    const serve = (count: number) => {
      const { store } = setup()
      acquire(store, claim({ owner: '0' }))
      for (let i = 1; i <= count; i++) acquire(store, claim({ owner: `${i}` }), { ticket: 'new' })
      for (let i = 0; i <= count; i++) expect(release(store, claim({ owner: `${i}` }))).toBe(true)
      expect(store.names('')).toEqual([])
    }
    serve(1_000)
    expect(cost(serve, 10_000) / cost(serve, 1_000)).toBeLessThan(50)
  })

  it('costs ten thousand readers little more than ten times what it costs a thousand', () => {
    const read = (count: number) => {
      const { store } = setup()
      const claims = Array.from({ length: count }, (_, i) => claim({ owner: `${i}`, mode: 'shared' }))
      for (const each of claims) expect(acquire(store, each).status).toBe('granted')
      for (const each of claims) expect(renew(store, each)).toBe('held')
      for (const each of claims) expect(release(store, each)).toBe(true)
    }
    read(1_000)
    expect(cost(read, 10_000) / cost(read, 1_000)).toBeLessThan(50)
  })
})

describe('a closed memory backend', () => {
  it('rejects every call, and a list in progress', async () => {
    const store = new MemoryStore()
    const backend = memoryBackend({ store })
    backend.open('c', () => {})
    for (const name of ['a', 'b']) acquire(store, claim({ name, ttlMs: 60_000 }))
    const states = backend.list('')[Symbol.asyncIterator]()
    expect((await states.next()).value as LockState).toMatchObject({ name: 'a', holders: [{ owner: 'o' }] })
    await backend.close()
    await backend.close()
    const closed = { code: 'CLOSED' }
    await expect(states.next()).rejects.toMatchObject(closed)
    await expect(backend.run([])).rejects.toMatchObject(closed)
    await expect(backend.results?.watch({ name: 'a', owner: 'o' })).rejects.toMatchObject(closed)
    await expect(backend.inspect('a')).rejects.toMatchObject(closed)
  })
})
