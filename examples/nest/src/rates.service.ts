import { Injectable } from '@nestjs/common'
import { currentRun, Singleton } from 'soloist/nest'

@Injectable()
export class RatesService {
  /** Callers that come while it runs get its result, whichever instance they ask. */
  @Singleton({ maxRunMs: 10_000 })
  async load({ currency }: { currency: string }) {
    // As a call to a service that is slow.
    await new Promise(resolve => setTimeout(resolve, 200))
    return { currency, rate: 1.09, run: currentRun().id }
  }
}
