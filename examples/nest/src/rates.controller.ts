import { Controller, Get, Param } from '@nestjs/common'
import { jobOf } from 'soloist/nest'
import { RatesService } from './rates.service'

@Controller('rates')
export class RatesController {
  constructor(private readonly rates: RatesService) {}

  @Get(':currency')
  async get(@Param('currency') currency: string) {
    return await this.rates.load({ currency })
  }

  @Get(':currency/status')
  async status(@Param('currency') currency: string) {
    const { status, id } = await jobOf(this.rates, 'load').trigger({ currency })
    return { status, id }
  }
}
