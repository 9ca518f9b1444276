import { InjectQueue } from '@nestjs/bullmq'
import { Controller, Param, Post } from '@nestjs/common'
import { SingletonQueue } from 'soloist/bullmq'

@Controller('accounts')
export class AccountsController {
  constructor(@InjectQueue('accounts') private readonly queue: SingletonQueue) {}

  @Post(':id/sync')
  async sync(@Param('id') accountId: string) {
    const job = await this.queue.add('sync', { accountId })
    return { id: job.id, status: job.singleton?.status }
  }
}
