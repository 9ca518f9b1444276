// Answers that are lost, late or come twice say nothing of what the store did. No two candidates may lead for it, and none
// may wait for itself.
import { once } from 'node:events'
import fc from 'fast-check'
import type { Leader, Soloist, Term } from 'soloist'
import { describe, expect, it, test } from 'vitest'
import { runs, Stage } from '../faults/support.js'
import type { Fate, Method } from '../support/scripted-backend.js'
import { type Client, useWorld, World, watch } from '../support/world.js'

/** Who waited for its own lease would wait for this long. */
const TTL_MS = 60_000
const TERM = 'leader:main'
const STOP = 'leader-stop:main'

const leaderOf = (solo: Soloist): Leader => solo.leader('main', { ttlMs: TTL_MS })

/** Waits until the leader can be asked to resign. */
async function hears(stage: Stage): Promise<void> {
  await expect.poll(() => stage.direct().inspect(STOP)).not.toBeNull()
}

describe.each(['reset', 'stall'] as const)('an answer of Redis is lost (%s)', then => {
  /** The connection on which nothing comes any more ends at last. */
  const end = (stage: Stage) => {
    if (then === 'stall') stage.proxy.resetAll()
  }

  test('that a candidate leads: it does, and is not its own rival', async () => {
    await using stage = await Stage.open()
    const solo = stage.behindProxy()
    // From now on the server knows the script.
    await (await solo.lock('warm-up')).release()
    const leader = leaderOf(solo)
    const lost = stage.proxy.dropReplyTo(runs('acquire', TERM), then)
    const campaign = leader.campaign()
    await lost.hit
    const owner = await stage.owner(TERM)
    end(stage)
    expect((await campaign).owner).toBe(owner)
    expect(leader.isLeader).toBe(true)
  })

  test('that a leader resigned: the next one leads, once', async () => {
    await using stage = await Stage.open()
    const [first, second] = [leaderOf(stage.behindProxy()), leaderOf(stage.direct())]
    const term = await first.campaign()
    await hears(stage)
    const next = second.campaign()
    await expect.poll(async () => (await stage.direct().inspect(TERM))?.waiting).toBe(1)
    const lost = stage.proxy.dropReplyTo(runs('release', TERM), then)
    const resigned = first.resign()
    await lost.hit
    end(stage)
    const { fence, owner } = await next
    await resigned
    expect(fence).toBeGreaterThan(term.fence)
    expect([first.isLeader, second.isLeader]).toEqual([false, true])
    // What was sent again took nothing from the next one.
    expect(await stage.owner(TERM)).toBe(owner)
    expect(await second.current()).toMatchObject({ owner, fence })
  })

  test('that a leader was told to resign: it was, and whoever asked hears so', async () => {
    await using stage = await Stage.open()
    const [first, second] = [leaderOf(stage.direct()), leaderOf(stage.direct())]
    const term = await first.campaign()
    await hears(stage)
    const next = second.campaign()
    await expect.poll(async () => (await stage.direct().inspect(TERM))?.waiting).toBe(1)
    const asks = stage.behindProxy().leader('main')
    expect((await asks.current())?.owner).toBe(term.owner)
    const lost = stage.proxy.dropReplyTo(runs('release', STOP), then)
    const asked = asks.requestResign()
    await lost.hit
    await next
    end(stage)
    expect(await asked).toBe(true)
    expect([first.isLeader, second.isLeader]).toEqual([false, true])
  })

  test('that a leader may be asked to resign: it may', async () => {
    await using stage = await Stage.open()
    const solo = stage.behindProxy()
    await (await solo.lock('warm-up')).release()
    const leader = leaderOf(solo)
    const lost = stage.proxy.dropReplyTo(runs('acquire', STOP), then)
    const term = await leader.campaign()
    await lost.hit
    end(stage)
    const over = once(term.signal, 'abort')
    expect(await stage.direct().leader('main').requestResign()).toBe(true)
    await over
  })
})

test('a push to the next leader is lost: it leads all the same, long before a ttl has passed', async () => {
  await using stage = await Stage.open()
  const solo = stage.behindProxy()
  const [first, second] = [leaderOf(stage.direct()), leaderOf(solo)]
  await first.campaign()
  const next = second.campaign()
  await expect.poll(async () => (await stage.direct().inspect(TERM))?.waiting).toBe(1)
  // Who waits before its client has subscribed is granted by an answer, without a push.
  await stage.hears(solo, TERM)
  const lost = stage.proxy.dropPush(words => words.some(word => word.includes('main')))
  await first.resign()
  await lost.hit
  expect((await next).isValid).toBe(true)
})

const use = useWorld()

it('stands once after every answer came twice', async () => {
  const clients = Array.from({ length: 3 }, () => use.world.client())
  for (const { link } of clients) link.fate = 'twice'
  const leaders = clients.map(({ solo }) => solo.leader('main'))
  const terms: Term[] = []
  for (const leader of leaders) {
    leader.on('elected', term => terms.push(term))
    void leader.campaign().catch(() => undefined)
  }
  await use.world.clock.flush()
  for (let i = 0; i < 30; i++) {
    const leading = leaders.filter(({ isLeader }) => isLeader)
    expect(leading).toHaveLength(1)
    const asked = watch((leading[0] as Leader).requestResign())
    await use.world.clock.advance(1_500)
    expect(asked.value).toBe(true)
  }
  const fences = terms.map(({ fence }) => fence)
  expect(fences).toEqual([...new Set(fences)].sort((a, b) => a - b))
  expect(terms.length).toBeGreaterThan(30)
})

/** What may become of one answer. */
const FATES: readonly Fate[] = [
  ...(['lose', 'swallow', 'refuse', 'drop', 'twice', 'twice', 'lose'] as const),
  { answersAfterMs: 40 },
  { answersAfterMs: 700 },
  { answersAfterMs: 2_500 },
  { arrivesAfterMs: 900 },
]
const SHORT_TTL_MS = 1_500

it('no two lead at once, whatever becomes of their answers, and in the end one does', async () => {
  const step = fc.record({
    who: fc.integer({ min: 0, max: 2 }),
    what: fc.constantFrom('resign', 'ask', 'campaign', 'wait', 'wait', 'trouble', 'trouble', 'trouble', 'block'),
    fate: fc.constantFrom(...FATES),
    method: fc.constantFrom<Method>('acquire', 'renew', 'release', 'watch', 'inspect'),
    ms: fc.integer({ min: 0, max: 900 }),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 40 }), async steps => {
      const world = new World()
      const candidates = Array.from({ length: 3 }, () => {
        const client: Client = world.client({ callTimeoutMs: 1_000 })
        const leader = client.solo.leader('main', { ttlMs: SHORT_TTL_MS })
        client.solo.on('fault', () => {})
        return { ...client, leader }
      })
      const fences: number[] = []
      const look = () => {
        const leading = candidates.filter(({ leader }) => leader.isLeader)
        expect(leading.length).toBeLessThanOrEqual(1)
        const fence = leading[0]?.leader.term?.fence
        if (fence !== undefined && fence !== fences.at(-1)) fences.push(fence)
      }
      const stand = (leader: Leader) => watch(leader.campaign())
      for (const { leader } of candidates) stand(leader)
      for (const { who, what, fate, method, ms } of steps) {
        const { leader, link } = candidates[who] as (typeof candidates)[number]
        if (what === 'resign') watch(leader.resign().finally(() => stand(leader)))
        else if (what === 'ask') watch(leader.requestResign())
        else if (what === 'campaign') stand(leader)
        else if (what === 'trouble') link.next(method, fate)
        else if (what === 'block') world.clock.block(ms * 2)
        look()
        // In small parts, so that no moment goes unseen.
        for (let leftMs = ms; leftMs > 0; leftMs -= 25) {
          await world.clock.advance(Math.min(leftMs, 25))
          look()
        }
      }
      expect(fences).toEqual([...new Set(fences)].sort((a, b) => a - b))
      for (const { link, leader } of candidates) {
        link.calm()
        stand(leader)
      }
      await world.clock.advance(20_000)
      look()
      expect(candidates.filter(({ leader }) => leader.isLeader)).toHaveLength(1)
      const resigned = watch(Promise.all(candidates.map(({ leader }) => leader.resign())))
      await world.clock.advance(5_000)
      expect(resigned.settled).toBe(true)
      await world.clock.advance(SHORT_TTL_MS)
      expect(world.inUse()).toEqual([])
      await world.end()
    }),
    {
      seed: Number(process.env.SOLOIST_TEST_SEED ?? 20_260_101),
      numRuns: Number(process.env.SOLOIST_TEST_RUNS ?? 150),
    },
  )
})
