import { once } from 'node:events'
import type { Leader, LeaderState, Term } from 'soloist'
import { describe, expect, it } from 'vitest'
import { type Client, type Outcome, record, useWorld, watch } from '../support/world.js'

const use = useWorld()
const lost = expect.objectContaining({ name: 'SoloistError', code: 'LEASE_LOST' })
const closed = expect.objectContaining({ name: 'SoloistError', code: 'CLOSED' })
const aborted = expect.objectContaining({ name: 'SoloistError', code: 'ABORTED' })

/** A candidate of a client of its own. */
function candidate(value?: string, ttlMs = 9_000) {
  const client = use.world.client()
  const leader = client.solo.leader('main', { ttlMs, value })
  return { ...client, leader, events: eventsOf(leader) }
}

function eventsOf(leader: Leader): [string, unknown][] {
  const events: [string, unknown][] = []
  leader.on('elected', ({ fence }) => events.push(['elected', fence]))
  leader.on('lost', ({ reason }) => events.push(['lost', reason?.code ?? null]))
  return events
}

/** One that leads, and one that waits. */
async function two() {
  const first = candidate('first')
  const term = await first.leader.campaign()
  const second = candidate('second')
  const next = watch(second.leader.campaign())
  await use.world.clock.flush()
  return { first, term, second, next }
}

describe('a candidate', () => {
  it('leads when nobody does, and others wait and see who leads', async () => {
    const { first, term, second, next } = await two()
    expect(first.leader.isLeader).toBe(true)
    expect(first.leader.term).toBe(term)
    expect(term).toMatchObject({ name: 'main', value: 'first', isValid: true })
    expect(() => term.assertValid()).not.toThrow()
    expect(first.events).toEqual([['elected', term.fence]])
    expect(next.settled).toBe(false)
    expect([second.leader.isLeader, second.leader.term]).toEqual([false, null])
    expect(await second.leader.current()).toMatchObject({ owner: term.owner, fence: term.fence, value: 'first' })
  })

  it('that resigns hands over at once, with a higher fence', async () => {
    const { first, term, second, next } = await two()
    await first.leader.resign()
    await use.world.clock.flush()
    expect(next.value).toMatchObject({ value: 'second' })
    expect(next.value?.fence).toBeGreaterThan(term.fence)
    expect([first.leader.isLeader, second.leader.isLeader]).toEqual([false, true])
    expect(term.signal.reason).toEqual(lost)
    expect(() => term.assertValid()).toThrow(lost)
    expect(first.events).toEqual([
      ['elected', term.fence],
      ['lost', null],
    ])
    // It is no candidate any more.
    await second.leader.resign()
    expect(await second.leader.current()).toBeNull()
  })

  it("hears that its own term is over before the next one's begins", async () => {
    const { first, term, second } = await two()
    const order: string[] = []
    term.signal.addEventListener('abort', () => order.push('over'))
    second.leader.on('elected', () => order.push('elected'))
    await first.leader.resign()
    await use.world.clock.flush()
    expect(order).toEqual(['over', 'elected'])
  })

  it('does not lead right after its event loop was blocked for longer than its lease', async () => {
    const { first, term } = await two()
    use.world.clock.block(9_001)
    // No timer has fired yet.
    expect([first.leader.isLeader, first.leader.term, term.isValid]).toEqual([false, null, false])
    expect(term.signal.aborted).toBe(true)
  })

  it('leads at the latest when the ttl of a dead leader has passed', async () => {
    const { first, term, second, next } = await two()
    first.link.fate = 'drop'
    await use.world.clock.advance(9_030)
    expect(next.settled).toBe(true)
    expect([first.leader.isLeader, second.leader.isLeader]).toEqual([false, true])
    expect(next.value?.fence).toBeGreaterThan(term.fence)
    expect(first.events.at(-1)).toEqual(['lost', 'LEASE_LOST'])
  })

  it('whose term was lost stands again behind the others', async () => {
    const { first, second, next } = await two()
    first.link.fate = 'drop'
    await use.world.clock.advance(9_030)
    first.link.fate = 'pass'
    await use.world.clock.advance(9_000)
    expect(next.settled).toBe(true)
    await second.leader.resign()
    await use.world.clock.flush()
    expect(first.leader.isLeader).toBe(true)
  })

  it('that stands already answers with the same term', async () => {
    const { first, term, second, next } = await two()
    expect(await first.leader.campaign()).toBe(term)
    const again = watch(second.leader.campaign())
    await first.leader.resign()
    await use.world.clock.flush()
    expect(again.value).toBe(next.value)
  })

  it('that gives up waiting leaves no place in the queue', async () => {
    const { second, next } = await two()
    const third = candidate('third')
    const controller = new AbortController()
    const never = watch(third.leader.campaign({ signal: controller.signal }))
    await use.world.clock.flush()
    expect(use.world.waiters('leader:main')).toHaveLength(2)
    controller.abort()
    await second.leader.resign()
    await use.world.clock.flush()
    expect(never.error).toEqual(aborted)
    expect(next.error).toEqual(aborted)
    expect(use.world.waiters('leader:main')).toEqual([])
    await expect(third.leader.campaign({ signal: controller.signal })).rejects.toEqual(aborted)
  })

  it('goes on standing while the store is away, and tells so', async () => {
    const one = candidate('one')
    const faults = record(one.solo)
    one.link.fate = 'refuse'
    const term = watch(one.leader.campaign())
    await use.world.clock.advance(10_000)
    expect(term.settled).toBe(false)
    expect(faults[0]).toEqual(['fault', expect.objectContaining({ name: 'leader:main', during: 'wait' })])
    one.link.fate = 'pass'
    await use.world.clock.advance(1_000)
    expect(one.leader.isLeader).toBe(true)
  })

  it('is none any more when its client is closed', async () => {
    const { first, term, second, next } = await two()
    await second.solo.close()
    expect(next.error).toEqual(closed)
    await first.solo.close()
    await use.world.clock.flush()
    expect(term.signal.reason).toEqual(closed)
    expect(first.events.at(-1)).toEqual(['lost', 'CLOSED'])
    await expect(first.leader.campaign()).rejects.toEqual(closed)
    await expect(first.leader.current()).rejects.toEqual(closed)
    expect(use.world.inUse()).toEqual([])
  })

  it('hands over at once when its client begins to close, however long that may take', async () => {
    const { first, term, next } = await two()
    const closing = watch(first.solo.close({ drainMs: 60_000 }))
    await use.world.clock.flush()
    expect(next.value?.fence).toBeGreaterThan(term.fence)
    expect([closing.settled, term.signal.reason]).toEqual([true, closed])
  })

  it('resigns at the end of its block', async () => {
    const { solo } = use.world.client()
    {
      await using leader = solo.leader('block')
      await leader.campaign()
      expect(use.world.owners('leader:block')).toHaveLength(1)
    }
    expect(use.world.inUse()).toEqual([])
  })
})

describe('at whatever moment of an election', () => {
  /** Each moment is one step of the promises that lead from the question to the term, and some beyond. */
  const moments = Array.from({ length: 60 }, (_, i) => i)

  /** Has the store's answer arrive, and so many steps of promises be done after it. */
  async function answered({ link }: Client, leader: Leader, steps: number): Promise<Outcome<Term>> {
    const gate = new AbortController()
    link.next('acquire', { answersAfter: once(gate.signal, 'abort') })
    const campaign = watch(leader.campaign())
    await use.world.clock.flush()
    gate.abort()
    for (let i = 0; i < steps; i++) await null
    return campaign
  }

  it('resign() leaves nothing in the store, and no timer', async () => {
    const client = use.world.client()
    const warm = client.solo.leader('warm')
    await warm.campaign()
    await warm.resign()
    const before = use.world.clock.pending
    for (const steps of moments) {
      const leader = client.solo.leader(`after ${steps}`)
      const campaign = await answered(client, leader, steps)
      await leader.resign()
      await use.world.clock.flush()
      expect([campaign.settled, leader.isLeader], `after ${steps} steps`).toEqual([true, false])
      expect(use.world.inUse(), `after ${steps} steps`).toEqual([])
    }
    expect(use.world.clock.pending).toBe(before)
  })

  it('close() hands over at once, however long it may take, and leaves no valid term', async () => {
    for (const steps of moments) {
      const client = use.world.client()
      const leader = client.solo.leader('closes')
      const campaign = await answered(client, leader, steps)
      const closing = watch(client.solo.close({ drainMs: 60_000 }))
      await use.world.clock.flush()
      expect([campaign.settled, leader.isLeader, closing.settled], `after ${steps} steps`).toEqual([true, false, true])
      expect(use.world.inUse(), `after ${steps} steps`).toEqual([])
      if (campaign.error !== undefined) expect(campaign.error).toEqual(closed)
      else expect(campaign.value?.signal.reason).toEqual(closed)
    }
  })
})

describe('a leader that is asked to resign', () => {
  it('hands over, and stands again behind the others', async () => {
    const { first, term, second, next } = await two()
    expect(await candidate().leader.requestResign()).toBe(true)
    await use.world.clock.flush()
    expect(next.value?.fence).toBeGreaterThan(term.fence)
    expect(first.events.at(-1)).toEqual(['lost', null])
    expect(term.signal.reason.message).toContain('asked to resign')
    await second.leader.resign()
    await use.world.clock.flush()
    expect(first.leader.isLeader).toBe(true)
    expect(first.leader.term?.fence).toBeGreaterThan(next.value?.fence as number)
  })

  it('may be asked by itself, and leads again when nobody else stands', async () => {
    const one = candidate('one')
    const term = await one.leader.campaign()
    await use.world.clock.flush()
    expect(await one.leader.requestResign()).toBe(true)
    await use.world.clock.flush()
    expect(one.leader.term?.fence).toBeGreaterThan(term.fence)
  })

  it('learns of it at its next renewal when it was not told', async () => {
    const { first, next } = await two()
    first.link.onPush = () => {}
    const asked = watch(candidate().leader.requestResign())
    await use.world.clock.advance(1_500)
    expect([asked.value, next.settled]).toEqual([true, false])
    await use.world.clock.advance(2_500)
    expect(next.settled).toBe(true)
  })

  it('is asked again when the request met a lock whose grant it had not heard of, and took anew', async () => {
    const first = candidate('first', 60_000)
    const gate = new AbortController()
    // The store has granted it, and the answer is lost after somebody released it; then the question is sent again.
    first.link.fate = (_, step) => {
      if (step?.kind !== 'acquire' || step.claim.name !== 'leader-stop:main' || gate.signal.aborted) return 'pass'
      return { answersAfter: once(gate.signal, 'abort').then(() => Promise.reject(new Error('the connection broke'))) }
    }
    const term = await first.leader.campaign()
    await use.world.clock.flush()
    expect(use.world.owners('leader-stop:main')).toEqual([term.owner])
    const asked = watch(candidate().leader.requestResign())
    await use.world.clock.flush()
    expect(use.world.owners('leader-stop:main')).toEqual([])
    gate.abort()
    await use.world.clock.flush()
    expect([use.world.owners('leader-stop:main'), term.isValid]).toEqual([[term.owner], true])
    await use.world.clock.advance(50)
    expect([asked.value, term.isValid]).toEqual([true, false])
  })

  it('says so when it cannot hear for a second, and gives way when it does', async () => {
    const { first, term, next } = await two()
    first.link.onPush = () => {}
    const asks = Array.from({ length: 20 }, () => watch(candidate().leader.requestResign()))
    await use.world.clock.advance(1_500)
    expect(asks.map(({ value }) => value)).toContain(true)
    expect(asks.every(({ settled }) => settled)).toBe(true)
    await use.world.clock.advance(3_000)
    expect([term.isValid, next.settled]).toEqual([false, true])
  })

  it('hears of it also when the store refused the lock by which it is asked, at first', async () => {
    const { link, solo } = use.world.client()
    const leader = solo.leader('main', { ttlMs: 60_000 })
    const faults = record(solo)
    link.fate = (_, step) => (step?.kind === 'acquire' && step.claim.name === 'leader-stop:main' ? 'refuse' : 'pass')
    const term = await leader.campaign()
    await use.world.clock.advance(100)
    expect(faults.filter(([event]) => event === 'fault')).toHaveLength(1)
    expect(use.world.owners('leader-stop:main')).toEqual([])
    link.fate = 'pass'
    await use.world.clock.advance(1_000)
    expect(use.world.owners('leader-stop:main')).toEqual([term.owner])
    expect(await candidate().leader.requestResign()).toBe(true)
    await use.world.clock.flush()
    expect(term.isValid).toBe(false)
  })

  it('is not there', async () => {
    expect(await candidate().leader.requestResign()).toBe(false)
  })
})

describe('who observes', () => {
  /** Observes until it is stopped. */
  function observed(leader: Leader) {
    const seen: (string | null | undefined)[] = []
    const controller = new AbortController()
    const all = async () => {
      for await (const state of leader.observe({ signal: controller.signal }))
        seen.push(state === null ? null : state.value)
    }
    return { seen, controller, end: watch(all()) }
  }

  it('sees the present term and every change', async () => {
    const { solo } = use.world.client()
    const { seen, controller, end } = observed(solo.leader('main'))
    await use.world.clock.flush()
    expect(seen).toEqual([null])
    const { first, second } = await two()
    await use.world.clock.advance(500)
    expect(seen).toEqual([null, 'first'])
    await first.leader.resign()
    await use.world.clock.flush()
    expect(seen).toEqual([null, 'first', 'second'])
    second.link.fate = 'drop'
    await use.world.clock.advance(13_000)
    expect(seen).toEqual([null, 'first', 'second', null])
    controller.abort()
    await use.world.clock.flush()
    expect(end.error).toEqual(aborted)
  })

  it('leaves nothing when it stops, and ends when its client is closed', async () => {
    await two()
    const { solo } = use.world.client()
    // The timer of its calls stays until it is closed.
    await solo.leader('main').current()
    const before = use.world.clock.pending
    const one = observed(solo.leader('main'))
    const other = observed(solo.leader('main'))
    await use.world.clock.flush()
    expect(use.world.clock.pending).toBeGreaterThan(before)
    one.controller.abort()
    await use.world.clock.flush()
    expect([one.end.settled, other.end.settled]).toEqual([true, false])
    other.controller.abort()
    await use.world.clock.flush()
    expect(use.world.clock.pending).toBe(before)
    const last = observed(solo.leader('main'))
    const nobody = observed(solo.leader('other'))
    await use.world.clock.flush()
    await solo.close()
    expect([last.end.error, nobody.end.error]).toEqual([closed, closed])
  })

  it('may return while it waits for the next term', async () => {
    await two()
    const { solo } = use.world.client()
    // The timer of its calls stays until it is closed.
    await solo.leader('main').current()
    const before = use.world.clock.pending
    const terms = solo.leader('main').observe()
    expect((await terms.next()).value).toMatchObject({ value: 'first' })
    const [next, beyond] = [watch(terms.next()), watch(terms.next())]
    await use.world.clock.flush()
    expect(next.settled).toBe(false)
    const returned = watch(terms.return())
    await use.world.clock.flush()
    expect([next.value, beyond.value, returned.value]).toEqual(Array(3).fill({ done: true, value: undefined }))
    expect(await terms.next()).toEqual({ done: true, value: undefined })
    expect(use.world.clock.pending).toBe(before)
    // One that nobody has asked yet, and one that another observer goes on with.
    const [idle, other] = [solo.leader('main').observe(), solo.leader('main').observe()]
    await other.next()
    const goesOn = watch(other.next())
    await idle.return()
    const third = solo.leader('main').observe()
    await third.next()
    void third.next()
    await third.return()
    await use.world.clock.flush()
    expect(goesOn.settled).toBe(false)
    await other.return()
  })

  it('may leave its loop', async () => {
    const { first, term } = await two()
    const states: (LeaderState | null)[] = []
    for await (const state of first.leader.observe()) {
      states.push(state)
      break
    }
    expect(states).toEqual([expect.objectContaining({ owner: term.owner })])
  })
})

describe('what cannot be taken', () => {
  const bad = expect.objectContaining({ code: 'INVALID_ARGUMENT' })

  it.each([
    ['', {}],
    ['x'.repeat(901), {}],
    [7, {}],
    ['a', { ttlMs: 0 }],
    ['a', { ttlMs: '10s' }],
    ['a', { value: 7 }],
    ['a', { value: 'x'.repeat(1_025) }],
    ['a', { ttl: 10 }],
    ['a', null],
  ])('%j with %j is refused when the candidate is made', (name, options) => {
    const { solo } = use.world.client()
    expect(() => solo.leader(name as string, options as object)).toThrow(bad)
  })

  it('is refused by each call', async () => {
    const { leader } = candidate()
    await expect(leader.campaign({ signal: 7 as never })).rejects.toEqual(bad)
    await expect(leader.campaign({ waitMs: 7 } as never)).rejects.toEqual(bad)
    await expect(leader.observe({ signal: 7 as never }).next()).rejects.toEqual(bad)
    const { solo } = use.world.client()
    expect(() => (solo.leader as (...all: unknown[]) => Leader)('a', {}, {})).toThrow(bad)
  })
})

it('has the types of what it tells', async () => {
  const { leader } = candidate()
  const terms: Term[] = []
  leader.on('elected', term => terms.push(term))
  const term = await leader.campaign()
  await use.world.clock.flush()
  expect(terms).toEqual([term])
})
