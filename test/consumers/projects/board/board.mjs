// Bull Board in front of a queue of singleton jobs. What an operator does there, by the board's own requests, is followed by a
// trigger of the same key. Prints as JSON what the triggers were told, and which runs overlapped.
import { once } from 'node:events'
import { createBullBoard } from '@bull-board/api'
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter'
import { ExpressAdapter } from '@bull-board/express'
import express from 'express'
import { SingletonQueue, SingletonWorker } from 'soloist/bullmq'

const { REDIS_URL: url, PREFIX: prefix } = process.env
const { hostname: host, port } = new URL(url)
const connection = { host, port: Number(port) }

async function main() {
  const jobs = { one: { uniqueOn: ['key'], onDuplicate: 'skip' }, more: { uniqueOn: ['key'], onDuplicate: 'rerun' } }
  const queue = new SingletonQueue('board', { connection, prefix: `${prefix}bull`, singleton: { prefix, jobs } })
  await queue.waitUntilReady()
  const app = express()
  const serverAdapter = new ExpressAdapter()
  createBullBoard({ queues: [new BullMQAdapter(queue)], serverAdapter })
  app.use(serverAdapter.getRouter())
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const press = async path => {
    const answer = await fetch(`http://127.0.0.1:${server.address().port}/api/queues/board/${path}`, { method: 'PUT' })
    return answer.ok ? 'done' : (await answer.json()).message.replace(/: .*/, '')
  }
  const add = async (name, key, data = {}) => await queue.addUnique(name, { key, ...data })

  const told = {}
  const removed = await add('one', 'removed')
  told.before = (await add('one', 'removed')).outcome.status
  await press(`${removed.job.id}/clean`)
  told.removed = (await add('one', 'removed')).outcome.status
  await press('empty')
  told.emptied = (await add('one', 'removed')).outcome.status

  const running = new Map()
  const overlaps = []
  const runs = {}
  let fail = true
  const run = async ({ name, data }) => {
    const key = `${name} ${data.key}`
    if (running.get(key)) overlaps.push(key)
    running.set(key, true)
    runs[key] = (runs[key] ?? 0) + 1
    await new Promise(resolve => setTimeout(resolve, 100))
    running.set(key, false)
    if (fail && data.fails) throw new Error('as it was told to')
  }
  const worker = new SingletonWorker('board', run, {
    connection,
    prefix: `${prefix}bull`,
    concurrency: 10,
    singleton: { prefix },
  })
  worker.on('error', error => console.error(error))
  const idle = async () => {
    while ((await queue.getJobCountByTypes('wait', 'active', 'delayed', 'prioritized')) > 0) {
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }

  // Two jobs of one key that have failed: one of them may be live again, and only when no other is.
  const first = await add('one', 'retried', { fails: true })
  await idle()
  const second = await add('one', 'retried', { fails: true })
  told.afterFailure = second.outcome.status
  await idle()
  fail = false
  await queue.pause()
  await add('one', 'retried')
  told.retriedBesideLive = await press(`${first.job.id}/retry`)
  await queue.resume()
  await idle()
  await queue.pause()
  told.retried = await press(`${first.job.id}/retry`)
  told.retriedBesideRetried = await press(`${second.job.id}/retry`)
  told.live = (await add('one', 'retried')).outcome.id === first.job.id
  await queue.resume()
  await idle()
  told.afterRetry = (await add('one', 'retried')).outcome.status
  await idle()

  // The follow-up of a run that is live is started by hand.
  await add('more', 'promoted')
  const [active] = await once(worker, 'active')
  const follow = await add('more', 'promoted')
  told.follow = follow.outcome.status
  await press('promote')
  await idle()
  told.active = active.data.key

  await worker.close()
  told.left = []
  for await (const { name } of queue.singleton.solo.jobs.list()) told.left.push(name)
  told.runs = runs
  told.overlaps = overlaps
  console.log(JSON.stringify(told))
  await queue.close()
  server.close()
}

main()
