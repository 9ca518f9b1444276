import { once } from 'node:events'
import { Global, Inject, Module } from '@nestjs/common'
import { MemoryStore, memoryBackend, Soloist } from 'soloist'
import { currentLease, getSoloistToken, InjectSoloist, Locked, SoloistModule } from 'soloist/nest'
import { describe, expect, test } from 'vitest'
import { decorate, sharing, start } from './app.js'

test('one Soloist by its class, and others by name', async () => {
  class Service {
    declare solo: Soloist
    declare fast: Soloist
    async plain() {
      return currentLease().owner
    }
    async named() {
      return currentLease().owner
    }
  }
  Inject(Soloist)(Service.prototype, 'solo')
  InjectSoloist('fast')(Service.prototype, 'fast')
  decorate(Service, 'plain', Locked('a'))
  decorate(Service, 'named', Locked('a', { soloist: 'fast' }))
  const imports = [
    SoloistModule.forRoot({ store: 'memory:' }),
    SoloistModule.forRoot({ name: 'fast', store: 'memory:' }),
  ]
  await using app = await start({ imports, providers: [Service] })
  const { solo, fast } = app.get(Service)
  expect(solo).toBe(app.get(Soloist))
  expect(fast).toBe(app.get(getSoloistToken('fast')))
  expect(fast).not.toBe(solo)
  expect((await app.get(Service).plain()).startsWith(solo.clientId)).toBe(true)
  expect((await app.get(Service).named()).startsWith(fast.clientId)).toBe(true)
})

test('options that a factory makes of what it is given', async () => {
  class ConfigModule {}
  const config = { provide: 'config', useValue: { prefix: 'app:' } }
  Module({ providers: [config], exports: ['config'] })(ConfigModule)
  const imports = [
    SoloistModule.forRootAsync({
      imports: [ConfigModule],
      inject: ['config'],
      useFactory: async ({ prefix }: { prefix: string }) => ({
        store: memoryBackend({ store: new MemoryStore() }),
        callTimeoutMs: prefix.length * 1_000,
      }),
    }),
  ]
  await using app = await start({ imports })
  expect(await app.get(Soloist).withLock('a', ({ name }) => name)).toBe('a')
})

describe('refused', () => {
  test.each([
    ['an unknown option', () => SoloistModule.forRoot({ url: 'memory:' } as object)],
    ['an empty name', () => SoloistModule.forRoot({ name: '' })],
    ['a time that is none', () => SoloistModule.forRoot({ drainMs: -1 })],
    ['no factory', () => SoloistModule.forRootAsync({} as { useFactory(): object })],
    [
      'an unknown option beside a factory',
      () => SoloistModule.forRootAsync({ useClass: 1, useFactory: () => ({}) } as never),
    ],
  ])('%s, at once', (_what, make) => {
    expect(make).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
  })

  test('what the factory answers, at start', async () => {
    const imports = [SoloistModule.forRootAsync({ useFactory: () => ({ drain: 1 }) as object })]
    await expect(start({ imports })).rejects.toThrow(/drainMs/)
  })

  test('a store that is none, at start', async () => {
    await expect(start({ imports: [SoloistModule.forRoot({ store: 'http://a' })] })).rejects.toThrow(/URL/)
  })

  test('two modules of one name, at start', async () => {
    const imports = [SoloistModule.forRoot({ store: 'memory:' }), SoloistModule.forRoot({ store: 'memory:' })]
    await expect(start({ imports })).rejects.toThrow(/two SoloistModules without a name/)
  })

  test('a name that no module has, at start', async () => {
    class Service {
      async run() {}
    }
    decorate(Service, 'run', Locked('a', { soloist: 'fast' }))
    const imports = [SoloistModule.forRoot({ store: 'memory:' })]
    await expect(start({ imports, providers: [Service] })).rejects.toThrow(/"fast"/)
  })
})

describe('closing', () => {
  /** Holds its lock until it is told to end or its signal fires. */
  function holder() {
    let end = () => {}
    const ends = new Promise<string>(resolve => {
      end = () => resolve('ended')
    })
    class Holder {
      async hold() {
        const { signal } = currentLease()
        return await Promise.race([ends, once(signal, 'abort').then(() => 'aborted')])
      }
    }
    decorate(Holder, 'hold', Locked('held'))
    return { Holder, end: () => end() }
  }

  test('what is held ends by itself within drainMs', async () => {
    const { Holder, end } = holder()
    const store = new MemoryStore()
    await using other = await start({ imports: [sharing(store)] })
    const app = await start({ imports: [sharing(store, { drainMs: 60_000 })], providers: [Holder] })
    const acquired = once(app.get(Soloist), 'acquired')
    const held = app.get(Holder).hold()
    await acquired
    const closed = app.close()
    await expect
      .poll(() =>
        app
          .get(Soloist)
          .tryLock('new')
          .catch(error => error.code),
      )
      .toBe('CLOSED')
    expect((await other.get(Soloist).inspect('held'))?.holding).toBe(1)
    end()
    expect(await held).toBe('ended')
    await closed
    expect(await other.get(Soloist).inspect('held')).toBeNull()
  })

  test('then its signal fires', async () => {
    const { Holder } = holder()
    const app = await start({
      imports: [SoloistModule.forRoot({ store: 'memory:', drainMs: 50 })],
      providers: [Holder],
    })
    const acquired = once(app.get(Soloist), 'acquired')
    const held = app.get(Holder).hold()
    await acquired
    const [how] = await Promise.allSettled([held, app.close()])
    expect(how).toMatchObject({ status: 'rejected', reason: { code: 'CLOSED' } })
  })

  test('others may take locks in their own hooks, and who waits does not hold up the end', async () => {
    const told: string[] = []
    class Server {
      declare solo: Soloist
      async onModuleDestroy() {
        told.push(await this.solo.withLock('a', () => 'onModuleDestroy'))
      }
      async beforeApplicationShutdown() {
        told.push(await this.solo.withLock('a', () => 'beforeApplicationShutdown'))
      }
      async onApplicationShutdown() {
        // As a worker does that waits for a job that waits for a lock.
        await this.solo.lock('taken').catch(error => told.push(error.code))
      }
    }
    Inject(Soloist)(Server.prototype, 'solo')
    const store = new MemoryStore()
    await using other = await start({ imports: [sharing(store)] })
    await using _taken = await other.get(Soloist).lock('taken')
    const app = await start({ imports: [sharing(store, { drainMs: 3_000 })], providers: [Server] })
    await app.close()
    expect(told).toEqual(['onModuleDestroy', 'beforeApplicationShutdown', 'CLOSED'])
  })

  test('a global module that is imported later ends before, with locks', async () => {
    const told: string[] = []
    class Later {
      declare solo: Soloist
      async onApplicationShutdown() {
        told.push(await this.solo.withLock('a', () => 'ended with a lock'))
      }
    }
    Inject(Soloist)(Later.prototype, 'solo')
    class LaterModule {}
    Module({ providers: [Later] })(LaterModule)
    Global()(LaterModule)
    const app = await start({ imports: [SoloistModule.forRoot({ store: 'memory:' }), LaterModule] })
    await app.close()
    expect(told).toEqual(['ended with a lock'])
  })
})
