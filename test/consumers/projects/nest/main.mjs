// A Nest application with @nestjs/bullmq, whose queue, worker and flow producer are ours. Prints as JSON what came of its jobs.
import 'reflect-metadata'
import { BullModule, getFlowProducerToken, getQueueToken, Processor, WorkerHost } from '@nestjs/bullmq'
import { Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { SingletonFlowProducer, SingletonQueue, SingletonWorker } from 'soloist/bullmq'

const { REDIS_URL: url, PREFIX: prefix } = process.env
const { hostname: host, port } = new URL(url)
const singleton = { prefix, jobs: { account: { uniqueOn: ['accountId'] } } }

BullModule.queueClass = SingletonQueue
BullModule.workerClass = SingletonWorker
BullModule.flowProducerClass = SingletonFlowProducer

const runs = []
let release
const held = new Promise(resolve => {
  release = resolve
})

class SyncConsumer extends WorkerHost {
  async process(job) {
    runs.push(job.data.cause)
    await held
    return `synced ${job.data.accountId}`
  }
}
Processor('sync', { singleton: { prefix }, concurrency: 10 })(SyncConsumer)

class AppModule {}
Module({
  imports: [
    BullModule.forRoot({ connection: { host, port: Number(port) }, prefix: `${prefix}bull` }),
    BullModule.registerQueue({ name: 'sync', singleton }),
    BullModule.registerFlowProducer({ name: 'flow', singleton }),
  ],
  providers: [SyncConsumer],
})(AppModule)

async function main() {
  const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error'] })
  app.enableShutdownHooks()
  const queue = app.get(getQueueToken('sync'))
  const flow = app.get(getFlowProducerToken('flow'))
  const { worker } = app.get(SyncConsumer)
  const completed = new Promise(resolve => worker.once('completed', (job, value) => resolve({ id: job.id, value })))
  const [one, two] = await Promise.all([
    queue.add('account', { accountId: 7, cause: 'webhook' }),
    queue.add('account', { accountId: 7, cause: 'user' }),
  ])
  release()
  const result = await completed
  const tree = await flow.add({ name: 'account', queueName: 'sync', data: { accountId: 8, cause: 'flow' } })
  await new Promise(resolve => worker.once('completed', resolve))
  console.log(
    JSON.stringify({
      classes: [
        queue instanceof SingletonQueue,
        worker instanceof SingletonWorker,
        flow instanceof SingletonFlowProducer,
      ],
      statuses: [one, two].map(job => job.singleton.status).sort(),
      same: one.id === two.id,
      result: { live: result.id === one.id, value: result.value },
      flow: tree.job.singleton.status,
      runs,
    }),
  )
  await app.close()
}

main()
