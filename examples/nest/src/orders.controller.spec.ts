import { Test, type TestingModule } from '@nestjs/testing'
import { Soloist } from 'soloist'
import { SoloistModule } from 'soloist/nest'
import { OrdersController } from './orders.controller'

describe('OrdersController', () => {
  let module: TestingModule
  let orders: OrdersController

  beforeEach(async () => {
    module = await Test.createTestingModule({
      imports: [SoloistModule.forRoot({ store: 'memory:' })],
      controllers: [OrdersController],
    }).compile()
    orders = module.get(OrdersController)
  })

  afterEach(() => module.close())

  it('pays an order once, however often it is asked at once', async () => {
    const answers = await Promise.all([orders.pay('7'), orders.pay('7'), orders.pay('8')])
    expect(answers.map(({ paid }) => paid)).toEqual(['now', 'before', 'now'])
  })

  it('gives up while somebody else holds the order', async () => {
    const lease = await module.get(Soloist).lock('order:7')
    await expect(orders.pay('7')).rejects.toMatchObject({ code: 'LOCK_TIMEOUT', holder: lease.owner })
    await lease.release()
  })
})
