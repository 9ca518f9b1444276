import { Controller, Param, Post } from '@nestjs/common'
import { currentLease, Locked } from 'soloist/nest'

@Controller('orders')
export class OrdersController {
  private readonly paid = new Set<string>()

  @Post(':id/pay')
  @Locked((id: string) => `order:${id}`, { waitMs: 500 })
  async pay(@Param('id') id: string) {
    const { fence, signal } = currentLease()
    if (this.paid.has(id)) return { id, paid: 'before' }
    // As a call to a payment service that takes a while.
    await new Promise(resolve => setTimeout(resolve, 20))
    signal.throwIfAborted()
    this.paid.add(id)
    return { id, paid: 'now', fence }
  }
}
