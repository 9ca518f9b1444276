import type { INestApplication } from '@nestjs/common'
import { Test, type TestingModule } from '@nestjs/testing'
import { connect, Soloist } from 'soloist'
import request from 'supertest'
import type { App } from 'supertest/types'
import { AppModule } from './../src/app.module'

describe('AppController (e2e)', () => {
  let app: INestApplication<App>
  let solo: Soloist

  beforeEach(async () => {
    const moduleFixture: TestingModule = await Test.createTestingModule({
      imports: [AppModule],
    })
      .overrideProvider(Soloist)
      .useFactory({ factory: () => connect('memory:') })
      .compile()

    app = moduleFixture.createNestApplication()
    solo = app.get(Soloist)
    await app.init()
  })

  it('/orders/:id/pay (POST)', async () => {
    const pay = () => request(app.getHttpServer()).post('/orders/7/pay')
    const answers = await Promise.all([pay(), pay()])
    expect(answers.map(({ status }) => status)).toEqual([201, 201])
    expect(answers.map(({ body }) => (body as { paid: string }).paid).sort()).toEqual(['before', 'now'])
  })

  it('/orders/:id/pay (POST), while it is paid elsewhere', async () => {
    const lease = await solo.lock('order:7')
    await request(app.getHttpServer()).post('/orders/7/pay').expect(409)
    await lease.release()
  })

  it('/rates/:currency (GET)', async () => {
    const get = () => request(app.getHttpServer()).get('/rates/usd').expect(200)
    const [one, two] = await Promise.all([get(), get()])
    expect(one.body).toEqual(two.body)
  })

  afterEach(async () => {
    await app.close()
  })
})
