import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, MemoryStore, memoryBackend, type Soloist } from 'soloist'
import { cron, crons, oncePerTick } from 'soloist/cron'
import { afterEach, describe, expect, test } from 'vitest'
import { record, useWorld, watch } from '../support/world.js'

// What is known of a cron job is changed by many at once: each change is made, one after the other.

const SECOND_MS = 1_000
const MANY = 120

const folder = mkdtempSync(join(tmpdir(), 'soloist-cron-entries-'))
const ending: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })]
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end()
})

const stores: Record<string, () => () => Soloist> = {
  memory: () => {
    const store = new MemoryStore()
    return () => connect(memoryBackend({ store }))
  },
  sqlite: () => () => connect(`sqlite:${join(folder, 'entries.db')}`),
  redis: () => () => connect(String(process.env.SOLOIST_TEST_REDIS), { prefix: `entries-${process.pid}:` }),
}

describe.each(Object.keys(stores))('on %s', kind => {
  test('the ticks of a job that run at once are all noted, and the last of them stays', async () => {
    const open = (stores[kind] as () => () => Soloist)()
    const clients = Array.from({ length: 3 }, open)
    for (const solo of clients) ending.push(() => solo.close())
    const faults: unknown[] = []
    for (const solo of clients) solo.on('fault', fault => faults.push(fault))
    const last = Math.floor(Date.now() / SECOND_MS) * SECOND_MS
    const ticks = Array.from({ length: MANY }, (_, i) => last - (MANY - 1 - i) * SECOND_MS)
    const runs = ticks.map((at, i) => oncePerTick(clients[i % clients.length] as Soloist, 'many', at, () => i))
    const outcomes = await Promise.all(runs)
    expect(outcomes.map(outcome => outcome.status === 'ran' && outcome.value)).toEqual(ticks.map((_, i) => i))
    expect(faults).toEqual([])
    const [state] = await crons(clients[0] as Soloist, 'many')
    expect(state?.last).toMatchObject({ scheduledAt: new Date(last), result: 'ok' })
  })
})

describe('turns', () => {
  const use = useWorld()
  const tick = () => new Date(use.world.clock.wallMs())

  test('a process that died in the middle of a change holds up the next one for ten seconds', async () => {
    const { world } = use
    const [dies, other] = [world.client(), world.client()]
    // It has the tick and its turn, and is not heard of any more.
    let looks = 0
    dies.link.fate = method => {
      if (method === 'inspect') looks += 1
      return looks < 2 ? 'pass' : 'drop'
    }
    oncePerTick(dies.solo, 'nightly', tick(), () => 1).catch(() => null)
    await world.clock.flush()
    expect(world.owners('cron-note:nightly')).toEqual([expect.stringContaining(dies.solo.clientId)])
    const at = new Date(tick().getTime() - SECOND_MS)
    const second = watch(oncePerTick(other.solo, 'nightly', at, () => 2))
    await world.clock.advance(5_000)
    expect(await crons(other.solo)).toEqual([])
    await world.clock.advance(7_000)
    expect(second.value).toMatchObject({ status: 'ran', value: 2 })
    const [state] = await crons(other.solo)
    expect(state?.last).toMatchObject({ scheduledAt: at, result: 'ok' })
    dies.link.fate = 'pass'
    await world.clock.advance(60_000)
  })

  test('one that was held up for longer than its turn takes another', async () => {
    const { world } = use
    const [slow, other] = [world.client({ callTimeoutMs: 20_000 }), world.client()]
    const events = record(slow.solo)
    const later = new Date(tick().getTime() + SECOND_MS)
    // Its question is carried out, and answered after its turn; its renewals do not arrive.
    let held = true
    let looks = 0
    slow.link.fate = method => {
      if (method === 'inspect') looks += 1
      if (!held || looks < 2) return 'pass'
      return method === 'inspect' ? { answersAfterMs: 15_000 } : 'drop'
    }
    const first = watch(oncePerTick(slow.solo, 'nightly', later, () => 1))
    await world.clock.flush()
    expect(world.owners('cron-note:nightly')).toEqual([expect.stringContaining(slow.solo.clientId)])
    const second = watch(oncePerTick(other.solo, 'nightly', tick(), () => 2))
    await world.clock.advance(12_000)
    expect(second.value).toMatchObject({ status: 'ran' })
    held = false
    await world.clock.advance(30_000)
    expect(first.value).toMatchObject({ status: 'ran' })
    expect(events.filter(([event]) => event === 'lost')).toHaveLength(1)
    const [state] = await crons(other.solo)
    expect(state?.last).toMatchObject({ scheduledAt: later, result: 'ok' })
  })

  test('of many that start with one pattern the first notes it, and nobody else takes a turn', async () => {
    const { world } = use
    const clients = Array.from({ length: 5 }, () => world.client())
    for (const { solo } of clients) {
      cron(solo, 'nightly', '0 3 * * *', () => {})
      await world.clock.flush()
    }
    const turns = clients.map(({ link }) => link.sent.filter(({ claim }) => claim?.name === 'cron-note:nightly').length)
    expect(turns.map(count => count > 0)).toEqual([true, false, false, false, false])
  })
})
