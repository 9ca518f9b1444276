import { MemoryStore } from 'soloist'
import { currentRun, jobOf, Singleton } from 'soloist/nest'
import { expect, test } from 'vitest'
import { decorate, sharing, start } from './app.js'

function accounts(options: Parameters<typeof Singleton>[0] = {}) {
  const runs: string[] = []
  let release = () => {}
  const held = new Promise<void>(resolve => {
    release = resolve
  })
  class Accounts {
    async sync({ id }: { id: number }) {
      runs.push(currentRun().id)
      await held
      return `synced ${id}`
    }
  }
  decorate(Accounts, 'sync', Singleton(options))
  return { Accounts, runs, release: () => release() }
}

test('calls with the same argument are one run, also of two instances', async () => {
  const { Accounts, runs, release } = accounts()
  const store = new MemoryStore()
  await using one = await start({ imports: [sharing(store)], providers: [Accounts] })
  await using two = await start({ imports: [sharing(store)], providers: [Accounts] })
  const first = await jobOf(one.get(Accounts), 'sync').trigger({ id: 7 })
  const second = await jobOf(two.get(Accounts), 'sync').trigger({ id: 7 })
  const call = two.get(Accounts).sync({ id: 7 })
  expect([first.status, second.status, second.id === first.id]).toEqual(['started', 'duplicate', true])
  expect(runs).toEqual([first.id])
  release()
  expect([await first.result(), await second.result(), await call]).toEqual(Array(3).fill('synced 7'))
  expect(jobOf(one.get(Accounts), 'sync').name).toBe('Accounts.sync')
})

test('a name and the options of jobs are taken', async () => {
  const { Accounts, release } = accounts({ name: 'sync', onDuplicate: 'reject', uniqueOn: [] })
  await using app = await start({ imports: [sharing(new MemoryStore())], providers: [Accounts] })
  const service = app.get(Accounts)
  expect(jobOf(service, 'sync').name).toBe('sync')
  const first = await jobOf(service, 'sync').trigger({ id: 7 })
  await expect(service.sync({ id: 8 })).rejects.toMatchObject({ code: 'DUPLICATE_JOB', id: first.id })
  release()
  expect(await first.result()).toBe('synced 7')
})

test('a job is made of each instance, and of each class its own', async () => {
  class Base {
    async who() {
      return this.constructor.name
    }
  }
  decorate(Base, 'who', Singleton())
  class Other extends Base {}
  await using app = await start({ imports: [sharing(new MemoryStore())], providers: [Base, Other] })
  expect(await Promise.all([app.get(Base).who(), app.get(Other).who()])).toEqual(['Base', 'Other'])
  expect(jobOf(app.get(Other), 'who')).toBe(jobOf(app.get(Other), 'who'))
})

test('what cannot be a job is refused', async () => {
  class Accounts {
    async two(_one: string, _two: string) {}
    async plain() {}
  }
  expect(() => decorate(Accounts, 'two', Singleton())).toThrow(/takes 2 arguments/)
  expect(() => Singleton({ mode: 'never' as 'untilExecuted' })).toThrow(/mode/)
  expect(() => Singleton({ expiry: 1 } as object)).toThrow(/expiryMs/)
  expect(() => Singleton({ name: '' })).toThrow(/name/)
  expect(() => jobOf(new Accounts(), 'plain')).toThrow('Accounts.plain is no method with @Singleton')
  expect(() => currentRun()).toThrow(/@Singleton/)
})
