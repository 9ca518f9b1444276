// Where decorators cannot stand, and what an application that cannot work says at its start.
import { Inject, Scope } from '@nestjs/common'
import { Locked, OncePerTick, Singleton, SoloistModule } from 'soloist/nest'
import { describe, expect, test } from 'vitest'
import { type AnyDecorator, Cron, decorate, start } from './app.js'

const inMemory = () => SoloistModule.forRoot({ store: 'memory:' })
const invalid = (message: RegExp) =>
  expect.objectContaining({ code: 'INVALID_ARGUMENT', message: expect.stringMatching(message) })

describe.each([
  ['@Locked', () => Locked('a')],
  ['@OncePerTick', () => OncePerTick()],
  ['@Singleton', () => Singleton()],
])('%s is refused at once', (name, make) => {
  class Service {
    static shared() {}
    get value() {
      return 1
    }
  }
  const decorator: AnyDecorator = make() as AnyDecorator
  const of = (target: object, key: string) => Object.getOwnPropertyDescriptor(target, key)
  const called = (...place: unknown[]) => expect(() => decorator(...place)).toThrow(invalid(new RegExp(`^${name}`)))

  test('on a class', () => called(Service))
  test('on a static method', () => called(Service, 'shared', of(Service, 'shared')))
  test('on an accessor', () => called(Service.prototype, 'value', of(Service.prototype, 'value')))
  test('on a property', () => called(Service.prototype, 'field', undefined))
  test('on a parameter', () => called(Service.prototype, 'method', 0))
  test('as a decorator of the standard', () => called(() => {}, { kind: 'method', name: 'method' }))
})

describe.each([
  ['@Locked', () => Locked('a')],
  ['@OncePerTick', () => OncePerTick()],
  ['@Singleton', () => Singleton()],
])('%s fails the start', (name, make) => {
  function service() {
    class Service {
      async run() {}
    }
    decorate(Service, 'run', make() as AnyDecorator, Cron('* * * * *'))
    return Service
  }

  test('without SoloistModule, with what to do', async () => {
    await expect(start({ providers: [service()] })).rejects.toThrow(/SoloistModule\.forRoot\(\)/)
  })

  test('of a request-scoped provider', async () => {
    const Service = service()
    const providers = [{ provide: Service, useClass: Service, scope: Scope.REQUEST }]
    await expect(start({ imports: [inMemory()], providers })).rejects.toThrow(
      invalid(new RegExp(`^${name} Service.run: Service is request-scoped`)),
    )
  })

  test('of a controller that needs something that is request-scoped', async () => {
    const Service = service()
    Inject('request')(Service.prototype, 'request')
    const providers = [{ provide: 'request', useFactory: () => ({}), scope: Scope.REQUEST }]
    await expect(start({ imports: [inMemory()], providers, controllers: [Service] })).rejects.toThrow(
      invalid(/needs something that is/),
    )
  })
})

describe('@OncePerTick fails the start', () => {
  const starting = (metadata: AnyDecorator, options?: Parameters<typeof OncePerTick>[1]) => {
    class Reports {
      async run() {}
    }
    decorate(Reports, 'run', OncePerTick(undefined, options), metadata)
    return start({ imports: [inMemory()], providers: [Reports] })
  }

  test('without @Cron', async () => {
    await expect(starting(() => {})).rejects.toThrow(invalid(/@OncePerTick Reports.run has no @Cron/))
  })

  test('with a pattern that cannot be read', async () => {
    await expect(starting(Cron('every minute'))).rejects.toThrow(invalid(/pattern/))
  })

  test('with a time zone that is none', async () => {
    await expect(starting(Cron('* * * * *', { timeZone: 'Mars/Base' }))).rejects.toThrow(invalid(/zone/))
  })

  test('with neither a pattern nor a date', async () => {
    await expect(starting(Cron(undefined))).rejects.toThrow(invalid(/neither a pattern nor a date/))
  })

  test('of a transient provider, which no timer calls', async () => {
    class Reports {
      async run() {}
    }
    decorate(Reports, 'run', OncePerTick(), Cron('* * * * *'))
    const providers = [{ provide: Reports, useClass: Reports, scope: Scope.TRANSIENT }]
    await expect(start({ imports: [inMemory()], providers })).rejects.toThrow(invalid(/transient/))
  })
})

describe('names', () => {
  const named = (decorator: AnyDecorator) => {
    class Service {
      async run() {}
    }
    decorate(Service, 'run', decorator, Cron('* * * * *'))
    return Service
  }
  const starting = (...providers: (new () => object)[]) =>
    start({ imports: [inMemory()], providers: providers.map((useClass, i) => ({ provide: `${i}`, useClass })) })

  test.each([
    ['classes of one name', () => OncePerTick(), () => OncePerTick()],
    ['ticks of one name', () => OncePerTick('a'), () => OncePerTick('a')],
    ['classes of jobs of one name', () => Singleton(), () => Singleton()],
    ['jobs of one name', () => Singleton({ name: 'a' }), () => Singleton({ name: 'a' })],
  ])('%s fail the start', async (_what, one, two) => {
    await expect(starting(named(one() as AnyDecorator), named(two() as AnyDecorator))).rejects.toThrow(
      invalid(/have one name/),
    )
  })

  test('one class may be provided twice, and its subclasses share the name it gives', async () => {
    const Base = named(Singleton({ name: 'a' }))
    class One extends Base {}
    class Two extends Base {}
    const Own = named(OncePerTick())
    await using _app = await starting(One, Two, Own, Own)
  })
})
