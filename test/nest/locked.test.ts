import { once } from 'node:events'
import { Scope } from '@nestjs/common'
import { LockTimeoutError, MemoryStore, Soloist } from 'soloist'
import { currentLease, Locked, SoloistModule } from 'soloist/nest'
import { expect, test } from 'vitest'
import { Cron, decorate, sharing, start } from './app.js'

const inMemory = () => SoloistModule.forRoot({ store: 'memory:', drainMs: 0 })

test('the method runs under the lock that its arguments name, and gives it back', async () => {
  class Orders {
    declare solo: Soloist
    async pay(id: string, amount: number) {
      const { owner, fence } = currentLease()
      return { id, amount, fence, mine: (await this.solo.inspect(`order:${id}`))?.holders[0]?.owner === owner }
    }
  }
  decorate(
    Orders,
    'pay',
    Locked((id: string) => `order:${id}`, { meta: 'pays' }),
  )
  await using app = await start({ imports: [inMemory()], providers: [Orders] })
  const orders = app.get(Orders)
  orders.solo = app.get(Soloist)
  expect(await orders.pay('7', 30)).toEqual({ id: '7', amount: 30, fence: expect.any(Number), mine: true })
  expect(await orders.solo.inspect('order:7')).toBeNull()
  expect(() => currentLease()).toThrow(/@Locked/)
  expect(Object.keys(orders)).toEqual(['solo'])
})

test('what the method throws is thrown, and the lock is free', async () => {
  class Failing {
    async run() {
      throw new TypeError('no')
    }
  }
  decorate(Failing, 'run', Locked('failing'))
  await using app = await start({ imports: [inMemory()], providers: [Failing] })
  await expect(app.get(Failing).run()).rejects.toThrow(TypeError)
  expect(await app.get(Soloist).inspect('failing')).toBeNull()
})

test('while another application holds the lock, a call waits, gives up, or skips the method', async () => {
  const runs: string[] = []
  class Reports {
    async waits() {
      runs.push('waits')
    }
    async givesUp() {
      runs.push('givesUp')
    }
    async skips(): Promise<string | undefined> {
      runs.push('skips')
      return 'ran'
    }
  }
  decorate(Reports, 'waits', Locked('report'))
  decorate(Reports, 'givesUp', Locked('report', { waitMs: 0 }))
  decorate(Reports, 'skips', Locked('report', { ifBusy: 'skip' }))
  const store = new MemoryStore()
  await using one = await start({ imports: [sharing(store)] })
  await using two = await start({ imports: [sharing(store)], providers: [Reports] })
  const reports = two.get(Reports)
  const held = await one.get(Soloist).lock('report')
  await expect(reports.givesUp()).rejects.toMatchObject({ code: 'LOCK_TIMEOUT', holder: held.owner })
  expect(await reports.skips()).toBeUndefined()
  const waiting = once(two.get(Soloist), 'waiting')
  const waits = reports.waits()
  await waiting
  expect(runs).toEqual([])
  await held.release()
  await waits
  expect(await reports.skips()).toBe('ran')
  expect(runs).toEqual(['waits', 'skips'])
})

test("a time-out that the method met itself is thrown, also with ifBusy: 'skip'", async () => {
  class Nested {
    declare solo: Soloist
    async run(): Promise<void> {
      await this.solo.lock('inner', { waitMs: 0 })
    }
  }
  decorate(Nested, 'run', Locked('outer', { ifBusy: 'skip' }))
  await using app = await start({ imports: [inMemory()], providers: [Nested] })
  const nested = app.get(Nested)
  nested.solo = app.get(Soloist)
  await using _held = await nested.solo.lock('inner')
  await expect(nested.run()).rejects.toThrow(LockTimeoutError)
})

test('a subclass has the lock too, and so has what calls super', async () => {
  const owners: (string | undefined)[] = []
  class Base {
    async run(): Promise<void> {
      owners.push(currentLease().owner)
    }
  }
  decorate(Base, 'run', Locked('base'))
  class Inherits extends Base {}
  class Overrides extends Base {
    override async run() {
      expect(() => currentLease()).toThrow()
      await super.run()
    }
  }
  await using app = await start({ imports: [inMemory()], providers: [Inherits, Overrides] })
  await app.get(Inherits).run()
  await app.get(Overrides).run()
  expect(new Set(owners).size).toBe(2)
  const { clientId } = app.get(Soloist)
  expect(owners.every(owner => owner?.startsWith(clientId))).toBe(true)
})

test('providers of factories, values and transient ones have it too', async () => {
  class Service {
    async run() {
      return currentLease().name
    }
  }
  decorate(Service, 'run', Locked('service'))
  const transient = { provide: 'transient', useClass: Service, scope: Scope.TRANSIENT }
  const factory = { provide: 'factory', useFactory: () => new Service() }
  const value = { provide: 'value', useValue: new Service() }
  await using app = await start({ imports: [inMemory()], providers: [transient, factory, value] })
  expect(await app.get<Service>('factory').run()).toBe('service')
  expect(await app.get<Service>('value').run()).toBe('service')
  expect(await (await app.resolve<Service>('transient')).run()).toBe('service')
})

test('other decorators see the method as it was, above and below', () => {
  class Both {
    async run(_one: string, _two: string) {}
  }
  const original = Both.prototype.run
  decorate(Both, 'run', Cron('above'), Locked('both'), Cron('below'))
  expect(Both.prototype.run).not.toBe(original)
  expect([Both.prototype.run.name, Both.prototype.run.length]).toEqual(['run', 2])
  class Below {
    async run() {}
  }
  decorate(Below, 'run', Locked('below'), Cron('below'))
  expect(Reflect.getMetadata('SCHEDULE_CRON_OPTIONS', Both.prototype.run)).toEqual({ cronTime: 'above' })
  expect(Reflect.getMetadata('SCHEDULE_CRON_OPTIONS', Below.prototype.run)).toEqual({ cronTime: 'below' })
})

test('an instance that Nest has not made is told so', async () => {
  class Plain {
    async run() {}
  }
  decorate(Plain, 'run', Locked('plain'))
  await expect(new Plain().run()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  await expect(new Plain().run()).rejects.toThrow('@Locked Plain.run was called on an instance that Nest has not made')
})

test.each([
  ['an empty name', () => Locked('')],
  ['no name', () => Locked(undefined as unknown as string)],
  ['an unknown option', () => Locked('a', { ttl: 1 } as object)],
  ['a ttl that is none', () => Locked('a', { ttlMs: -1 })],
  ['a signal', () => Locked('a', { signal: AbortSignal.timeout(1) } as object)],
  ['an ifBusy there is not', () => Locked('a', { ifBusy: 'retry' as 'wait' })],
  ['a wait that cannot be', () => Locked('a', { ifBusy: 'skip', waitMs: 1 })],
  ['a Soloist without a name', () => Locked('a', { soloist: '' })],
])('%s is refused where the decorator stands', (_what, decorator) => {
  expect(decorator).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
})
