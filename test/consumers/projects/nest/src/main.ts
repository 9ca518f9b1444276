// A service of Nest 12, as ES modules, of which two instances run in one process. Prints as JSON what they did.
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { Controller, Get, Injectable, Module, Param, ParseIntPipe, Post, UseGuards } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { Cron, CronExpression, ScheduleModule } from '@nestjs/schedule'
import { Soloist } from 'soloist'
import {
  currentLease,
  currentRun,
  currentTick,
  InjectSoloist,
  jobOf,
  Locked,
  OncePerTick,
  Singleton,
  SoloistModule,
} from 'soloist/nest'

const { REDIS_URL: store, PREFIX: prefix } = process.env
const SECONDS = 4

const ticks: string[] = []
const runs: string[] = []

@Injectable()
class Reports {
  @OncePerTick()
  @Cron(CronExpression.EVERY_SECOND)
  async send() {
    const { name, scheduledAt, signal } = currentTick()
    ticks.push(`${name} ${scheduledAt.toISOString()} ${signal.aborted}`)
  }
}

@Injectable()
class Accounts {
  constructor(
    readonly solo: Soloist,
    @InjectSoloist('other') readonly other: Soloist,
  ) {}

  @Singleton()
  async sync({ id }: { id: number }) {
    runs.push(currentRun().id)
    await new Promise(resolve => setTimeout(resolve, 200))
    return `synced ${id}`
  }

  @Locked('both', { ifBusy: 'skip', soloist: 'other' })
  async skips(): Promise<string | undefined> {
    await new Promise(resolve => setTimeout(resolve, 200))
    return 'ran'
  }
}

@Controller('orders')
class Orders {
  private readonly paying = new Set<string>()

  @Locked((id: string) => `order:${id}`)
  @Post(':id/pay')
  async pay(@Param('id') id: string) {
    const alone = !this.paying.has(id)
    this.paying.add(id)
    await new Promise(resolve => setTimeout(resolve, 20))
    this.paying.delete(id)
    return { id, alone, lock: currentLease().name }
  }
}

@Controller('items')
class Items {
  @Get(':id')
  @Locked((id: number) => `item:${typeof id}:${id}`)
  async get(@Param('id', ParseIntPipe) id: number) {
    return { id, lock: currentLease().name }
  }

  @UseGuards({ canActivate: () => false })
  @Get(':id/guarded')
  @Locked((id: string) => `guarded:${id}`, { meta: 'never taken' })
  async guarded(@Param('id') _id: string) {}
}

/** What must not compile. It is never called. */
export function wrong() {
  class Wrong {
    // @ts-expect-error it answers with no promise
    @Locked('a') plain() {
      return 1
    }
    // @ts-expect-error the name is made of a number
    @Locked((id: number) => `a:${id}`) async name(_id: string) {}
    // @ts-expect-error a call that is skipped answers undefined
    @Locked('a', { ifBusy: 'skip' }) async skip() {
      return 1
    }
    // @ts-expect-error a job takes one argument
    @Singleton() async job(_one: string, _two: string) {}
  }
  return Wrong
}

@Module({
  imports: [
    SoloistModule.forRoot({ store, prefix }),
    SoloistModule.forRootAsync({ name: 'other', useFactory: () => ({ store, prefix: `${prefix}other:` }) }),
    ScheduleModule.forRoot(),
  ],
  controllers: [Orders, Items],
  providers: [Accounts, Reports],
})
class AppModule {}

async function main() {
  const open = () => NestFactory.create(AppModule, { logger: ['error', 'warn'] })
  const apps = [await open(), await open()] as const
  await Promise.all(apps.map(app => app.listen(0, '127.0.0.1')))
  const [one, two] = apps.map(app => app.get(Accounts)) as [Accounts, Accounts]
  const { port } = apps[0].getHttpServer().address() as AddressInfo

  const pay = async () => {
    const response = await fetch(`http://127.0.0.1:${port}/orders/7/pay`, { method: 'POST' })
    return (await response.json()) as unknown
  }
  const paid = await Promise.all([pay(), pay(), pay()])
  const guarded: string[] = []
  apps[0].get(Soloist).on('acquired', ({ name }) => guarded.push(name))
  const items = await Promise.all(
    ['7', '7/guarded'].map(async path => {
      const response = await fetch(`http://127.0.0.1:${port}/items/${path}`)
      return [response.status, ((await response.json()) as { lock?: string }).lock ?? null]
    }),
  )
  const skipped = await Promise.all([one.skips(), two.skips()])
  const trigger = await jobOf(one, 'sync').trigger({ id: 7 })
  const synced = await Promise.all([two.sync({ id: 7 }), trigger.result()])
  await new Promise(resolve => setTimeout(resolve, SECONDS * 1_000))

  // Who holds a lock may end by itself.
  const acquired = once(one.other, 'acquired')
  const last = one.skips()
  await acquired
  await Promise.all(apps.map(app => app.close()))
  console.log(
    JSON.stringify({
      paid,
      items,
      guarded: guarded.filter(name => name.startsWith('guarded')),
      skipped: skipped.map(answer => answer ?? null).sort(),
      trigger: trigger.status,
      synced,
      runs: runs.length,
      ticks,
      last: await last,
      closed: await one.solo.lock('a').catch(error => error.code),
    }),
  )
}

void main()
