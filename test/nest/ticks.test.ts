import { MemoryStore, Soloist } from 'soloist'
import { crons } from 'soloist/cron'
import { currentTick, OncePerTick } from 'soloist/nest'
import { describe, expect, test } from 'vitest'
import { tickAtOf } from '../../dist/adapters/nest/schedule.js'
import { Cron, decorate, sharing, start } from './app.js'

const MINUTE_MS = 60_000

/** A class whose runs are noted. */
function reports(run: () => Promise<void> = async () => {}) {
  const ticks: { at: number; name: string }[] = []
  class Reports {
    async send() {
      ticks.push({ at: currentTick().scheduledAt.getTime(), name: currentTick().name })
      await run()
      return 'sent'
    }
  }
  return { Reports, ticks }
}

/** Away from the end of a minute, so that all calls of a test are in one. */
async function withinMinute(): Promise<number> {
  const leftMs = MINUTE_MS - (Date.now() % MINUTE_MS)
  if (leftMs < 10_000) await new Promise(resolve => setTimeout(resolve, leftMs + 100))
  return Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS
}

test.each([
  ['above', true],
  ['below', false],
])('of several instances one runs a tick, with @Cron %s', async (_where, above) => {
  const { Reports, ticks } = reports()
  const both = [Cron('* * * * *'), OncePerTick()]
  decorate(Reports, 'send', ...(above ? both : both.reverse()))
  const store = new MemoryStore()
  await using one = await start({ imports: [sharing(store)], providers: [Reports] })
  await using two = await start({ imports: [sharing(store)], providers: [Reports] })
  const tick = await withinMinute()
  const answers = [await one.get(Reports).send(), await two.get(Reports).send(), await one.get(Reports).send()]
  expect(answers).toEqual(['sent', undefined, undefined])
  expect(ticks).toEqual([{ at: tick, name: 'Reports.send' }])
  const [state] = await crons(two.get(Soloist))
  expect(state?.last?.by.startsWith(one.get(Soloist).clientId)).toBe(true)
})

test('a subclass is another job, unless the name is given', async () => {
  const { Reports, ticks } = reports()
  decorate(Reports, 'send', Cron('* * * * *'), OncePerTick({ keepForMs: 120_000 }))
  class Daily extends Reports {}
  await using app = await start({ imports: [sharing(new MemoryStore())], providers: [Reports, Daily] })
  await withinMinute()
  await app.get(Reports).send()
  await app.get(Daily).send()
  expect(ticks.map(({ name }) => name)).toEqual(['Reports.send', 'Daily.send'])

  const shared = reports()
  decorate(shared.Reports, 'send', Cron('* * * * *'), OncePerTick('report'))
  class Weekly extends shared.Reports {}
  await using other = await start({ imports: [sharing(new MemoryStore())], providers: [shared.Reports, Weekly] })
  await withinMinute()
  await other.get(shared.Reports).send()
  await other.get(Weekly).send()
  expect(shared.ticks.map(({ name }) => name)).toEqual(['report'])
})

test('what the method throws is thrown, and the tick stays taken', async () => {
  const { Reports, ticks } = reports(async () => {
    throw new TypeError('no')
  })
  decorate(Reports, 'send', Cron('* * * * *'), OncePerTick())
  await using app = await start({ imports: [sharing(new MemoryStore())], providers: [Reports] })
  await withinMinute()
  await expect(app.get(Reports).send()).rejects.toThrow(TypeError)
  expect(await app.get(Reports).send()).toBeUndefined()
  expect(ticks).toHaveLength(1)
})

test('a tick that is too old for the store is refused', async () => {
  const { Reports, ticks } = reports()
  decorate(Reports, 'send', Cron(new Date(Date.now() - 3_600_000)), OncePerTick())
  await using app = await start({ imports: [sharing(new MemoryStore())], providers: [Reports] })
  await expect(app.get(Reports).send()).rejects.toMatchObject({ code: 'CLOCKS_DIFFER' })
  expect(ticks).toEqual([])
})

test.each([
  ['pattern', Cron('nonsense')],
  ['time zone', Cron('* * * * *', { timeZone: 'Mars/Base' })],
])('a %s that cannot be read is told at start, with the method it is of', async (_what, cron) => {
  const { Reports } = reports()
  decorate(Reports, 'send', cron, OncePerTick())
  const started = start({ imports: [sharing(new MemoryStore())], providers: [Reports] })
  const message = expect.stringContaining('@OncePerTick Reports.send: ')
  await expect(started).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', message })
})

describe('the tick of a moment', () => {
  const tickOf = (cronTime: unknown, options: object, at: string) => {
    class Service {
      async run() {}
    }
    decorate(Service, 'run', Cron(cronTime, options))
    const site = { prototype: Service.prototype, key: 'run', what: 'run' }
    return new Date(tickAtOf(Service.prototype, site)(Date.parse(at))).toISOString()
  }

  test.each([
    ['a pattern with seconds', '*/10 * * * * *', {}, '2026-03-01T10:00:29.900Z', '2026-03-01T10:00:20.000Z'],
    ['a timer that is early', '*/10 * * * * *', {}, '2026-03-01T10:00:29.970Z', '2026-03-01T10:00:30.000Z'],
    ['a zone', '0 9 * * *', { timeZone: 'Asia/Tokyo' }, '2026-03-01T00:00:01.000Z', '2026-03-01T00:00:00.000Z'],
    ['an offset', '0 9 * * *', { utcOffset: 345 }, '2026-03-01T03:15:01.000Z', '2026-03-01T03:15:00.000Z'],
    ['an offset to the west', '0 9 * * *', { utcOffset: -210 }, '2026-03-01T12:30:01.000Z', '2026-03-01T12:30:00.000Z'],
    ['a preset of cron', '@weekdays', { timeZone: 'UTC' }, '2026-03-01T10:00:00.000Z', '2026-02-27T00:00:00.000Z'],
    ['a date', new Date('2026-03-01T10:00:00.000Z'), {}, '2026-03-01T10:00:00.070Z', '2026-03-01T10:00:00.000Z'],
    ['another date', { valueOf: (): number => 1_000 }, {}, '1970-01-01T00:00:01.070Z', '1970-01-01T00:00:01.000Z'],
  ])('%s', (_what, cronTime, options, at, tick) => {
    expect(tickOf(cronTime, options, at)).toBe(tick)
  })
})
