import { Logger } from '@nestjs/common'
import { Test } from '@nestjs/testing'
import { MemoryStore, memoryBackend } from 'soloist'
import { SoloistModule } from 'soloist/nest'
import { ReportsService } from './reports.service'

describe('ReportsService', () => {
  it('sends the report of a tick from one of two instances', async () => {
    const log = jest.spyOn(Logger.prototype, 'log').mockImplementation()
    const store = new MemoryStore()
    const instances = await Promise.all(
      [1, 2].map(() =>
        Test.createTestingModule({
          imports: [SoloistModule.forRootAsync({ useFactory: () => ({ store: memoryBackend({ store }) }) })],
          providers: [ReportsService],
        }).compile(),
      ),
    )
    // As the timers of a tick do.
    await Promise.all(instances.map(module => module.init()))
    await Promise.all(instances.map(module => module.get(ReportsService).send()))
    const sent = log.mock.calls.map(([message]) => String(message)).filter(message => message.includes('report'))
    expect(new Set(sent).size).toBe(sent.length)
    expect(sent.length).toBeGreaterThan(0)
    await Promise.all(instances.map(module => module.close()))
  })
})
