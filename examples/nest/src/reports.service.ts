import { Injectable, Logger } from '@nestjs/common'
import { Cron, CronExpression } from '@nestjs/schedule'
import { currentTick, OncePerTick } from 'soloist/nest'

@Injectable()
export class ReportsService {
  private readonly logger = new Logger(ReportsService.name)

  @Cron(CronExpression.EVERY_SECOND)
  @OncePerTick('report')
  async send() {
    const { scheduledAt, signal } = currentTick()
    signal.throwIfAborted()
    this.logger.log(`the report of ${scheduledAt.toISOString()} is sent`)
  }
}
