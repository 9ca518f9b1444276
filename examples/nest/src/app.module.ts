import { BullModule } from '@nestjs/bullmq'
import { Module } from '@nestjs/common'
import { APP_FILTER } from '@nestjs/core'
import { ScheduleModule } from '@nestjs/schedule'
import { SoloistModule } from 'soloist/nest'
import { AccountsModule } from './accounts.module'
import { BusyFilter } from './busy.filter'
import { OrdersController } from './orders.controller'
import { RatesController } from './rates.controller'
import { RatesService } from './rates.service'
import { ReportsService } from './reports.service'

const url = process.env.REDIS_URL ?? 'redis://127.0.0.1:6379'
const { hostname, port } = new URL(url)

@Module({
  imports: [
    // The first of all, so that it is the last to close.
    SoloistModule.forRoot({ store: url, drainMs: 20_000 }),
    ScheduleModule.forRoot(),
    BullModule.forRoot({ connection: { host: hostname, port: Number(port) } }),
    AccountsModule,
  ],
  controllers: [OrdersController, RatesController],
  providers: [RatesService, ReportsService, { provide: APP_FILTER, useClass: BusyFilter }],
})
export class AppModule {}
