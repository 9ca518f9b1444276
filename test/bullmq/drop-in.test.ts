import { setTimeout as sleep } from 'node:timers/promises'
import { FlowProducer, type Job, type JobsOptions, Queue, QueueEvents, QueueEventsProducer, Worker } from 'bullmq'
import { SingletonFlowProducer, SingletonQueue, SingletonWorker } from 'soloist/bullmq'
import { describe, expect, test } from 'vitest'
import { type Bench, connectionTo, until, useBench } from './support.js'

// Whatever a queue does, done with BullMQ's classes, with ours for jobs that are no singletons, and with ours for singleton jobs of
// distinct keys: what can be seen of it is the same.

let bench: Bench
useBench('must not fail', (...fresh) => {
  ;[bench] = fresh
})

type Kind = 'plain' | 'ours' | 'singleton'
type AnyQueue = Queue<Record<string, unknown>>

/** One queue with its worker, of one kind, and what was seen of it. */
class Stage {
  readonly queue: AnyQueue
  readonly flows: FlowProducer
  readonly told: string[] = []
  readonly #bench: Bench
  readonly #kind: Kind
  readonly #names = new Map<string, string>()
  readonly name: string

  constructor(of: Bench, kind: Kind) {
    this.#bench = of
    this.#kind = kind
    this.name = `q-${kind}`
    const jobs = kind === 'singleton' ? { a: {}, b: {}, parent: {} } : {}
    const singleton = { prefix: of.lockPrefix, jobs }
    const { queue, flows } =
      kind === 'plain'
        ? { queue: new Queue(this.name, this.#options), flows: new FlowProducer(this.#options) }
        : {
            queue: new SingletonQueue(this.name, { ...this.#options, singleton }),
            flows: new SingletonFlowProducer({ ...this.#options, singleton }),
          }
    this.queue = queue as unknown as AnyQueue
    this.flows = flows
    of.closeLater(() => queue.close())
    of.closeLater(() => flows.close())
  }

  get #options() {
    return { connection: connectionTo(this.#bench.url), prefix: this.#bench.prefix }
  }

  worker(run: (job: Job) => Promise<unknown> = async job => job.data.n, options: object = {}): Worker {
    const made =
      this.#kind === 'plain'
        ? new Worker(this.name, run, { ...this.#options, ...options })
        : new SingletonWorker(this.name, run, {
            ...this.#options,
            ...options,
            singleton: { prefix: this.#bench.lockPrefix },
          })
    made.on('error', error => this.#bench.faults.push(error))
    this.#bench.closeLater(() => made.close())
    return made
  }

  /** Ids differ from kind to kind: they are told by the order in which they were seen first. */
  id(of: string | undefined): string {
    const known = this.#names.get(String(of))
    if (known !== undefined) return known
    const name = `#${this.#names.size + 1}`
    this.#names.set(String(of), name)
    return name
  }

  /** @returns what resolves when all that was told by then is in `told` */
  async events(): Promise<() => Promise<unknown>> {
    const events = new QueueEvents(this.name, { ...this.#options, lastEventId: '0-0' })
    this.#bench.closeLater(() => events.close())
    for (const event of [
      'added',
      'waiting',
      'active',
      'delayed',
      'completed',
      'failed',
      'removed',
      'duplicated',
    ] as const) {
      events.on(event, ((args: { jobId: string }) => this.told.push(`${event} ${this.id(args.jobId)}`)) as never)
    }
    for (const event of ['paused', 'resumed', 'drained'] as const) events.on(event, () => this.told.push(event))
    await events.waitUntilReady()
    const own = new QueueEventsProducer(this.name, this.#options)
    this.#bench.closeLater(() => own.close())
    return async () => {
      const last = new Promise(resolve => events.on('last' as never, resolve as never))
      await own.publishEvent({ eventName: 'last' })
      await last
    }
  }

  async idle(): Promise<void> {
    await until(async () => {
      const { active = 0, waiting = 0, delayed = 0, prioritized = 0, ...counts } = await this.queue.getJobCounts()
      return active + waiting + delayed + prioritized + (counts['waiting-children'] ?? 0) === 0
    })
  }

  /** What can be seen of a job, but for times and ids. */
  async seen(job: Job | undefined): Promise<unknown> {
    if (job === undefined) return null
    const { name, data, attemptsMade, attemptsStarted, returnvalue, failedReason, progress, priority, delay } = job
    const { jobId: _, singleton: __, ...opts } = job.opts as JobsOptions & { singleton?: unknown }
    const state = await job.getState()
    return {
      name,
      data,
      attemptsMade,
      attemptsStarted,
      returnvalue,
      failedReason,
      progress,
      priority,
      delay,
      opts,
      state,
    }
  }
}

const KINDS = ['plain', 'ours', 'singleton'] as const

/** Does the same with each kind, and compares what was seen. */
async function same(act: (stage: Stage) => Promise<unknown>): Promise<void> {
  const seen = await Promise.all(
    KINDS.map(async kind => {
      const stage = new Stage(bench, kind)
      await stage.queue.waitUntilReady()
      const answer = await act(stage)
      return JSON.parse(JSON.stringify({ answer, told: stage.told }).replaceAll(stage.name, 'queue'))
    }),
  )
  expect(seen[1]).toEqual(seen[0])
  expect(seen[2]).toEqual(seen[0])
}

const items = (count: number, opts: JobsOptions = {}) =>
  Array.from({ length: count }, (_, n) => ({ name: n % 2 === 0 ? 'a' : 'b', data: { n }, opts }))

describe('every option of a job', () => {
  const options: Record<string, JobsOptions> = {
    none: {},
    delay: { delay: 150 },
    priority: { priority: 3 },
    lifo: { lifo: true },
    attempts: { attempts: 3 },
    backoff: { attempts: 3, backoff: 30 },
    'exponential backoff': { attempts: 2, backoff: { type: 'exponential', delay: 20 } },
    jobId: { jobId: 'mine' },
    removeOnComplete: { removeOnComplete: true },
    removeOnFail: { removeOnFail: true },
    keepLogs: { keepLogs: 1 },
    stackTraceLimit: { attempts: 2, stackTraceLimit: 1 },
    timestamp: { timestamp: 1_700_000_000_000 },
    deduplication: { deduplication: { id: 'one' } },
    sizeLimit: { sizeLimit: 10_000 },
  }
  for (const [name, opts] of Object.entries(options)) {
    test(name, async () => {
      await same(async stage => {
        const added = await stage.queue.add('a', { n: 1 }, opts)
        const before = await stage.seen(added)
        let failed = false
        stage.worker(async job => {
          await job.log('one')
          await job.log('two')
          await job.updateProgress(50)
          if (job.attemptsMade === 0 && (opts.attempts ?? opts.removeOnFail) && !failed) {
            failed = true
            throw new Error('as it should')
          }
          return job.data.n
        })
        await stage.idle()
        const job = (await stage.queue.getJob(added.id as string)) as Job | undefined
        const logs = await stage.queue.getJobLogs(added.id as string)
        return [
          before,
          await stage.seen(job),
          logs.logs,
          (job?.stacktrace ?? []).length,
          job?.timestamp === opts.timestamp,
        ]
      })
    })
  }
})

test('order, counts, events and return values of many jobs', async () => {
  await same(async stage => {
    const told = await stage.events()
    const added = await stage.queue.addBulk(items(20))
    for (const job of added) stage.id(job.id)
    const counts = await stage.queue.getJobCounts()
    const waiting = (await stage.queue.getWaiting()).map(job => stage.id(job.id))
    const ran: unknown[] = []
    stage.worker(async job => {
      ran.push(job.data.n)
      return Number(job.data.n) * 2
    })
    await stage.idle()
    await told()
    const values = await Promise.all(added.map(async job => (await stage.queue.getJob(job.id as string))?.returnvalue))
    return [counts, waiting, ran, values, await stage.queue.getJobCounts()]
  })
})

test('priorities and delays', async () => {
  await same(async stage => {
    const opts: JobsOptions[] = [
      { priority: 5 },
      { priority: 1 },
      {},
      // Longer than a busy machine takes to come to the others.
      { delay: 4_000 },
      { lifo: true },
      { priority: 3 },
    ]
    await stage.queue.addBulk(opts.map((one, n) => ({ name: 'a', data: { n }, opts: one })))
    const ran: unknown[] = []
    stage.worker(async job => ran.push(job.data.n))
    await stage.idle()
    return ran
  })
})

describe('every method of a queue', () => {
  const acts: Record<string, (stage: Stage) => Promise<unknown>> = {
    'pause and resume': async ({ queue }) => {
      await queue.pause()
      const paused = await queue.isPaused()
      await queue.resume()
      return [paused, await queue.isPaused()]
    },
    'a paused queue keeps what is added': async stage => {
      await stage.queue.pause()
      await stage.queue.add('a', { n: 1 })
      stage.worker()
      await sleep(100)
      const before = await stage.queue.getJobCounts()
      await stage.queue.resume()
      await stage.idle()
      return [before, await stage.queue.getJobCounts()]
    },
    'drain and clean': async ({ queue }) => {
      await queue.addBulk([...items(3), ...items(2, { delay: 60_000 })].map((item, n) => ({ ...item, data: { n } })))
      await queue.drain()
      const drained = await queue.getJobCounts()
      const cleaned = await queue.clean(0, 10, 'delayed')
      return [drained, cleaned.length, await queue.getJobCounts()]
    },
    'remove and obliterate': async ({ queue }) => {
      const [first] = await queue.addBulk(items(3))
      const removed = [await queue.remove(first?.id as string), await queue.remove('none')]
      const counts = await queue.getJobCounts()
      await queue.obliterate({ force: true })
      return [removed, counts, await queue.getJobCounts()]
    },
    getters: async ({ queue }) => {
      await queue.addBulk([...items(3), { name: 'a', data: { n: 7 }, opts: { delay: 60_000 } }])
      return [
        await queue.count(),
        await queue.getWaitingCount(),
        await queue.getDelayedCount(),
        (await queue.getJobs(['waiting', 'delayed'])).length,
        (await queue.getDelayed()).map(job => job.data),
        (await queue.getPrioritized()).length,
        (await queue.getActive()).length,
        await queue.getJobState('none'),
        Object.keys(await queue.getMeta()).sort(),
      ]
    },
    'retry, promote and change': async stage => {
      const { queue } = stage
      let fails = true
      stage.worker(async job => {
        if (fails && job.name === 'b') throw new Error('as it should')
        return job.data.n
      })
      const failing = await queue.add('b', { n: 1 })
      const late = await queue.add('a', { n: 2 }, { delay: 60_000 })
      await until(async () => (await failing.getState()) === 'failed')
      fails = false
      await ((await queue.getJob(failing.id as string)) as Job).retry()
      await late.changeDelay(50_000)
      await late.promote()
      await stage.idle()
      return [await failing.getState(), await late.getState(), await queue.getJobCounts()]
    },
    retryJobs: async stage => {
      let fails = true
      stage.worker(async () => {
        if (fails) throw new Error('as it should')
        return 1
      })
      await stage.queue.addBulk(items(3))
      await until(async () => (await stage.queue.getFailedCount()) === 3)
      fails = false
      await stage.queue.retryJobs()
      await stage.idle()
      return await stage.queue.getJobCounts()
    },
    'a scheduler': async stage => {
      const ran: unknown[] = []
      stage.worker(async job => ran.push(job.name))
      await stage.queue.upsertJobScheduler('every', { every: 60, limit: 3 }, { name: 'a', data: { n: 1 } })
      await until(() => ran.length === 3)
      await stage.queue.removeJobScheduler('every')
      await stage.idle()
      return [ran, await stage.queue.getJobSchedulersCount()]
    },
    'setGlobalConcurrency and a rate limit': async stage => {
      await stage.queue.setGlobalConcurrency(1)
      let [now, most] = [0, 0]
      stage.worker(
        async () => {
          now += 1
          most = Math.max(most, now)
          await sleep(20)
          now -= 1
        },
        { concurrency: 5, limiter: { max: 3, duration: 100 } },
      )
      await stage.queue.addBulk(items(6))
      await stage.idle()
      return [most, await stage.queue.getGlobalConcurrency()]
    },
  }
  for (const [name, act] of Object.entries(acts)) test(name, () => same(act))
})

describe('workers and flows', () => {
  test('a job that its processor puts back, or moves to wait for children', async () => {
    await same(async stage => {
      const ran: unknown[] = []
      stage.worker(async job => {
        ran.push([job.name, job.attemptsMade])
        if (ran.length === 1) {
          await job.moveToDelayed(Date.now() + 50, job.token)
          const error = new Error('delayed')
          error.name = 'DelayedError'
          throw error
        }
        return 1
      })
      const job = await stage.queue.add('a', { n: 1 })
      await stage.idle()
      return [ran, await stage.seen((await stage.queue.getJob(job.id as string)) as Job)]
    })
  })

  test('getNextJob, moveToCompleted, moveToFailed', async () => {
    await same(async stage => {
      const hand = stage.worker(null as never)
      await stage.queue.addBulk(items(2))
      const first = (await hand.getNextJob('t')) as Job
      await first.moveToCompleted('done', 't', false)
      const second = (await hand.getNextJob('t')) as Job
      await second.moveToFailed(new Error('as it should'), 't', false)
      return [await stage.seen(first), await second.getState(), await stage.queue.getJobCounts()]
    })
  })

  test('a flow', async () => {
    await same(async stage => {
      const child = (n: number) => ({ name: n % 2 === 0 ? 'a' : 'b', queueName: stage.name, data: { n } })
      const flow = { name: 'parent', queueName: stage.name, data: { n: 9 }, children: [child(1), child(2)] }
      const ran: unknown[] = []
      const tree = await stage.flows.add(flow)
      const before = await stage.queue.getJobCounts()
      stage.worker(async job => {
        ran.push(job.data.n)
        return Object.values(await job.getChildrenValues()).length
      })
      await stage.idle()
      const root = (await stage.queue.getJob(tree.job.id as string)) as Job
      const bulk = await stage.flows.addBulk([
        { name: 'a', queueName: stage.name, data: { n: 20 } },
        { name: 'b', queueName: stage.name, data: { n: 21 } },
      ])
      await stage.idle()
      return [before, ran, root.returnvalue, bulk.length, await stage.queue.getJobCounts()]
    })
  })

  test('worker events', async () => {
    await same(async stage => {
      const told: string[] = []
      const worker = stage.worker(async job => {
        await job.updateProgress(1)
        if (job.name === 'b') throw new Error('as it should')
        return 1
      })
      for (const event of ['active', 'completed', 'failed', 'progress'] as const) {
        worker.on(event, ((job: Job) => told.push(`${event} ${job.name}`)) as never)
      }
      await stage.queue.addBulk(items(4))
      await stage.idle()
      // The end of a job is the last that is told of it.
      await until(() => told.filter(text => /^(completed|failed)/.test(text)).length === 4)
      return told
    })
  })
})
