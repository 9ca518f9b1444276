import { BullModule } from '@nestjs/bullmq'
import { Module } from '@nestjs/common'
import { SingletonQueue, SingletonWorker } from 'soloist/bullmq'
import { AccountsController } from './accounts.controller'
import { AccountsProcessor } from './accounts.processor'

// Before Nest makes any queue. They are for all queues and workers of the application.
BullModule.queueClass = SingletonQueue
BullModule.workerClass = SingletonWorker

// In a constant: the types of @nestjs/bullmq do not know `singleton`.
const accounts = {
  name: 'accounts',
  singleton: { jobs: { sync: { uniqueOn: ['accountId'] } } },
}

@Module({
  imports: [BullModule.registerQueue(accounts)],
  controllers: [AccountsController],
  providers: [AccountsProcessor],
})
export class AccountsModule {}
