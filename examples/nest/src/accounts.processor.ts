import { Processor, WorkerHost } from '@nestjs/bullmq'
import { Logger } from '@nestjs/common'
import type { Job } from 'bullmq'

@Processor('accounts')
export class AccountsProcessor extends WorkerHost {
  private readonly logger = new Logger(AccountsProcessor.name)

  async process(job: Job<{ accountId: string }>, _token?: string, signal?: AbortSignal) {
    // As work that takes a while.
    await new Promise(resolve => setTimeout(resolve, 200))
    signal?.throwIfAborted()
    this.logger.log(`account ${job.data.accountId} is synced by job ${job.id}`)
  }
}
