import {
  type Backend,
  connect,
  type GrantEvent,
  type HandedGrant,
  MemoryStore,
  memoryBackend,
  type Soloist,
} from 'soloist'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ManualClock } from '../support/manual-clock.js'
import { ScriptedBackend } from '../support/scripted-backend.js'
import { watch } from '../support/world.js'

/** As the reference backend pushes it: its grant lease. */
const LEASE_MS = 5_000
const TTL_MS = 60_000

/** The reference backend, but the grants of a release's own client are told in its answer. */
function handing(store: MemoryStore, leaseMs: () => number): Backend {
  const inner = memoryBackend({ store })
  let listener: (event: GrantEvent) => void = () => {}
  let handed: HandedGrant[] | null = null
  inner.onGrant(event => {
    if (handed !== null && event.type === 'granted') handed.push({ ...event, leaseMs: leaseMs() })
    else listener(event)
  })
  return Object.assign(Object.create(inner) as Backend, {
    onGrant: (listen: typeof listener) => {
      listener = listen
    },
    acquire: inner.acquire.bind(inner),
    renew: inner.renew.bind(inner),
    inspect: inner.inspect.bind(inner),
    list: inner.list.bind(inner),
    watch: inner.watch.bind(inner),
    close: inner.close.bind(inner),
    release: async (...args: Parameters<Backend['release']>) => {
      const told: HandedGrant[] = []
      handed = told
      const reply = await inner.release(...args)
      handed = null
      return { ...reply, handed: told }
    },
  })
}

describe('a grant told in the answer to a release', () => {
  let clock: ManualClock
  let store: MemoryStore
  let link: ScriptedBackend
  let solo: Soloist
  let leaseMs: number
  beforeEach(() => {
    leaseMs = LEASE_MS
    clock = new ManualClock()
    store = new MemoryStore(clock)
    link = new ScriptedBackend(
      handing(store, () => leaseMs),
      clock,
    )
    solo = connect(link, { clock, random: () => 0.5 })
  })
  afterEach(async () => {
    link.fate = 'pass'
    const closing = watch(solo.close())
    await clock.flush()
    // What was dropped on the way is waited for as long as any call.
    if (!closing.settled) await clock.advance(20_000)
    expect(closing.settled, 'close() took longer than a call may').toBe(true)
    expect(clock.pending - link.delayed, 'timers left after close()').toBe(0)
  })
  const owners = () => store.inspect('a')?.holders.map(({ owner }) => owner) ?? []

  it('is a lease at once, without another call', async () => {
    const first = await solo.lock('a', { ttlMs: TTL_MS })
    const second = watch(solo.lock('a', { ttlMs: TTL_MS }))
    await clock.flush()
    const before = link.count()
    await first.release()
    await clock.flush()
    expect(owners()).toEqual([second.value?.owner])
    second.value?.assertValid()
    expect(link.count() - before).toBe(1)
  })

  it('is relied on for the grant lease, counted from before the release was sent, until it is renewed', async () => {
    const first = await solo.lock('a', { ttlMs: TTL_MS })
    const second = watch(solo.lock('a', { ttlMs: TTL_MS }))
    await clock.flush()
    link.next('release', { answersAfterMs: 1_000 })
    const sentAtMs = clock.wallMs()
    void first.release()
    await clock.advance(1_000)
    const lease = second.value
    expect(lease?.expiresAt.getTime()).toBeLessThan(sentAtMs + LEASE_MS)
    link.fate = method => (method === 'renew' ? 'refuse' : 'pass')
    const lost = watch(new Promise(resolve => lease?.signal.addEventListener('abort', resolve)))
    await clock.advance(LEASE_MS - 1_000)
    expect(lost.settled, 'the grant lease is over and was not renewed').toBe(true)
    expect(() => lease?.assertValid()).toThrow(expect.objectContaining({ code: 'LEASE_LOST' }))
  })

  it('is renewed to its ttl within the grant lease', async () => {
    const first = await solo.lock('a', { ttlMs: TTL_MS })
    const second = watch(solo.lock('a', { ttlMs: TTL_MS }))
    await clock.flush()
    await first.release()
    await clock.advance(LEASE_MS / 2)
    expect(link.count('renew')).toBe(1)
    const [holder] = store.inspect('a')?.holders ?? []
    expect((holder?.expiresAtMs ?? 0) - clock.wallMs()).toBeGreaterThan(TTL_MS / 2)
    await clock.advance(TTL_MS)
    second.value?.assertValid()
    expect(owners()).toEqual([second.value?.owner])
  })

  it('is confirmed first when the answer took as long as the grant lease', async () => {
    const first = await solo.lock('a', { ttlMs: TTL_MS })
    const second = watch(solo.lock('a', { ttlMs: TTL_MS }))
    await clock.flush()
    leaseMs = 2_000
    link.next('release', { answersAfterMs: leaseMs })
    const releasing = first.release()
    // Sooner than the next beat.
    await clock.advance(leaseMs)
    await releasing
    expect(link.count('renew')).toBe(1)
    expect(owners()).toEqual([second.value?.owner])
    second.value?.assertValid()
  })

  it('whose answer is lost is found by asking again at once', async () => {
    const first = await solo.lock('a', { ttlMs: TTL_MS })
    const second = watch(solo.lock('a', { ttlMs: TTL_MS }))
    await clock.flush()
    link.next('release', 'lose')
    await first.release()
    await clock.flush()
    expect(owners()).toEqual([second.value?.owner])
  })

  it('to a call that was given up meanwhile is given back', async () => {
    const first = await solo.lock('a', { ttlMs: TTL_MS })
    const abort = new AbortController()
    const second = watch(solo.lock('a', { ttlMs: TTL_MS, signal: abort.signal }))
    const third = watch(solo.lock('a', { ttlMs: TTL_MS }))
    await clock.flush()
    link.next('release', { answersAfterMs: 100 })
    void first.release()
    link.next('release', 'drop')
    abort.abort()
    await clock.advance(100)
    await clock.flush()
    expect(second.error).toMatchObject({ code: 'ABORTED' })
    expect(owners()).toEqual([third.value?.owner])
  })
})
