// Guards invariant H4 of docs/guarantees.md.
import { describe, expect, it } from 'vitest'
import { useWorld, watch } from '../support/world.js'

const use = useWorld()

describe('ten thousand waiters of one client for one lock', () => {
  it('are all served in their order, one at a time', { timeout: 120_000 }, async () => {
    const { world } = use
    const { solo, link } = world.client()
    const first = await solo.lock('a')
    const order: number[] = []
    let inside = 0
    const all = Array.from({ length: 10_000 }, (_, i) =>
      solo.withLock('a', () => {
        expect(++inside).toBe(1)
        order.push(i)
        inside -= 1
      }),
    )
    await world.clock.flush()
    const before = process.cpuUsage()
    await first.release()
    await Promise.all(all)
    expect(order).toEqual([...order].sort((a, b) => a - b))
    expect(order).toHaveLength(10_000)
    expect(world.inUse()).toEqual([])
    expect(link.count('acquire')).toBe(10_001)
    // Linear takes about a second of processor time; what is quadratic takes minutes.
    expect(process.cpuUsage(before).user / 1_000).toBeLessThan(15_000)
  })

  it('cost one question a beat while nothing happens', async () => {
    const { world } = use
    const one = world.client().solo
    await one.lock('a')
    const { solo, link } = world.client()
    const controller = new AbortController()
    const all = Array.from({ length: 10_000 }, () => watch(solo.lock('a', { signal: controller.signal })))
    await world.clock.flush()
    const before = link.count()
    await world.clock.advance(40_000)
    expect(link.count() - before).toBeLessThanOrEqual(11)
    controller.abort()
    await world.clock.flush()
    expect(all.every(({ settled }) => settled)).toBe(true)
    expect(world.store.inspect('a')?.waiting).toBe(0)
  })
})

describe('a lock that is taken by turns all the time', () => {
  /** Ten callers of one client, each of which comes back at once, and a backend that takes a millisecond to answer. */
  async function contended() {
    const { world } = use
    const { solo, link } = world.client()
    link.fate = { answersAfterMs: 1 }
    const stop = new AbortController()
    let turns = 0
    const callers = Array.from({ length: 10 }, async () => {
      while (!stop.signal.aborted) {
        await solo.withLock('a', () => {
          turns += 1
        })
      }
    })
    await world.clock.advance(100)
    /** How many steps a turn takes, over some hundred of them, which are the last. */
    const cost = async () => {
      const [steps, before] = [link.count(), turns]
      await world.clock.advance(200)
      const [more, later] = [link.count(), turns]
      stop.abort()
      await world.clock.advance(100)
      await Promise.all(callers)
      expect(world.inUse()).toEqual([])
      expect(later - before).toBeGreaterThan(100)
      return (more - steps) / (later - before)
    }
    return { world, link, cost }
  }

  it('costs two steps a turn', async () => {
    const { cost } = await contended()
    expect(await cost()).toBeCloseTo(2, 1)
  })

  it.each([0, 0.5])('costs no more after pushes may have been missed, %d ms after an answer', async ms => {
    const { world, link, cost } = await contended()
    await world.clock.advance(ms)
    link.push({ type: 'gap' })
    await world.clock.advance(10)
    expect(await cost()).toBeCloseTo(2, 1)
  })

  it('costs no more after an answer was lost', async () => {
    const { world, link, cost } = await contended()
    link.next('release', 'lose')
    await world.clock.advance(10)
    expect(await cost()).toBeCloseTo(2, 1)
  })
})
