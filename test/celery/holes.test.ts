import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { CeleryLocks, CeleryResults, CeleryTask, type CeleryTaskOptions } from 'soloist/celery'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'

// What goes wrong with celery-singleton, one by one, and does not go wrong here.

const url = String(process.env.SOLOIST_TEST_REDIS)
const PRODUCER = fileURLToPath(new URL('children/producer.js', import.meta.url))
let redis: Redis
let results: CeleryResults
let prefix: string
let locks: CeleryLocks

beforeAll(() => {
  redis = new Redis(url)
  results = new CeleryResults(redis)
})

afterAll(() => redis.disconnect())

beforeEach(() => {
  prefix = `${randomUUID()}:`
  locks = new CeleryLocks(redis, { prefix })
})

afterEach(async () => {
  await locks.clearLocks()
  await locks.close()
})

const published = async () => {}
const never = async () => expect.unreachable('nothing may be published')

function task(options: CeleryTaskOptions = {}): CeleryTask {
  return new CeleryTask(locks, 'tasks.hole', options)
}

/** What a celery worker leaves when a task of its has come so far. */
async function leave(id: string, status: string): Promise<void> {
  const result = JSON.stringify({ status, result: null, traceback: null, children: [], task_id: id })
  await redis.set(`celery-task-meta-${id}`, result, 'EX', 60)
}

function held(key: string): Promise<unknown> {
  return redis.get(key)
}

/** As if the time were over that the lock has left. */
async function passes(lock: string): Promise<void> {
  expect(await redis.pexpire(lock, 1)).toBe(1)
  await expect.poll(() => held(lock), { interval: 5 }).toBe(null)
}

describe('a retry that meets its own lock is swallowed', () => {
  test.each([false, true])(
    'not here: it is published, and the lock stays its own (raiseOnDuplicate: %s)',
    async raise => {
      const singleton = task({ raiseOnDuplicate: raise })
      const sent: string[] = []
      const publish = async (id: string) => void sent.push(id)
      const first = await singleton.submit([1], {}, publish)
      const retry = await singleton.submit([1], {}, publish, { taskId: first.id })
      expect(retry).toMatchObject({ status: 'started', id: first.id })
      expect(sent).toEqual([first.id, first.id])
      expect(await held(first.lock)).toBe(first.id)
      expect(await redis.pttl(first.lock)).toBe(-1)
      expect(await singleton.done(first.id, first.lock)).toBe(true)
    },
  )

  test('nor does a retry that could not be published give the lock back while the task lives', async () => {
    const singleton = task({ isUnpublished: () => true })
    const { id, lock } = await singleton.submit([1], {}, published)
    const refused = new Error('refused')
    const retry = singleton.submit([1], {}, () => Promise.reject(refused), { taskId: id })
    await expect(retry).rejects.toBe(refused)
    expect(await held(lock)).toBe(id)
    expect(await redis.pttl(lock)).toBe(-1)
  })
})

describe('a lock is given back by who does not hold it', () => {
  test('not here: who comes late leaves the lock to its successor', async () => {
    const singleton = task({ lockExpirySeconds: 60 })
    const first = await singleton.submit([1], {}, published)
    await passes(first.lock)
    const second = await singleton.submit([1], {}, published)
    expect(await singleton.done(first.id, first.lock)).toBe(false)
    expect(await held(first.lock)).toBe(second.id)
  })

  test('nor by one that ran without a lock: `send_task`, `.apply()`', async () => {
    const singleton = task()
    const { id, lock } = await singleton.submit([1], {}, published)
    expect(await singleton.done(randomUUID(), lock)).toBe(false)
    expect(await held(lock)).toBe(id)
  })
})

describe('a worker that is killed, a task that is revoked or rejected: nobody gives the lock back', () => {
  test.each(['FAILURE', 'REVOKED', 'SUCCESS'])('the next submission does, when celery has stored %s', async status => {
    const singleton = task({ stateOf: results.stateOf })
    const dead = await singleton.submit([1], {}, published)
    await leave(dead.id, status)
    const next = await singleton.submit([1], {}, published)
    expect(next).toMatchObject({ status: 'recovered', owner: dead.id, state: 'finished', guaranteed: true })
    expect(await held(next.lock)).toBe(next.id)
    expect(await redis.pttl(next.lock)).toBe(-1)
    expect(singleton.counts).toMatchObject({ started: 1, recovered: 1, duplicate: 0 })
    // The dead one, should it rise, changes nothing.
    expect(await singleton.done(dead.id, next.lock)).toBe(false)
    expect(await singleton.claim(dead.id, next.lock)).toEqual({ status: 'busy', holder: next.id })
  })

  test.each([
    ['STARTED', 'running'],
    ['RETRY', 'queued'],
  ])('but a live task keeps its lock: %s', async (status, state) => {
    const singleton = task({ stateOf: results.stateOf })
    const live = await singleton.submit([1], {}, published)
    await leave(live.id, status)
    expect(await singleton.submit([1], {}, never)).toMatchObject({ status: 'duplicate', id: live.id, state })
    const strict = task({ stateOf: results.stateOf, raiseOnDuplicate: true })
    await expect(strict.submit([1], {}, never)).rejects.toMatchObject({ code: 'DUPLICATE_JOB', id: live.id, state })
    expect(await held(live.lock)).toBe(live.id)
  })

  test('a thousand submissions at once after a crash publish one task', async () => {
    const singleton = task({ stateOf: results.stateOf })
    const dead = await singleton.submit([1], {}, published)
    await leave(dead.id, 'FAILURE')
    const sent: string[] = []
    const publish = async (id: string) => void sent.push(id)
    const all = await Promise.all(Array.from({ length: 1_000 }, () => singleton.submit([1], {}, publish)))
    expect(sent.length).toBe(1)
    expect(new Set(all.map(({ id }) => id))).toEqual(new Set(sent))
    expect(await held(dead.lock)).toBe(sent[0])
  })

  test('sweep gives back what is stale and nothing else', async () => {
    const singleton = task()
    const [dead, live, unknown] = await Promise.all([1, 2, 3].map(i => singleton.submit([i], {}, published)))
    await leave(String(dead?.id), 'FAILURE')
    await leave(String(live?.id), 'STARTED')
    expect(await locks.sweep(results.stateOf)).toBe(1)
    expect(await held(String(dead?.lock))).toBe(null)
    expect(await held(String(live?.lock))).toBe(live?.id)
    expect(await held(String(unknown?.lock))).toBe(unknown?.id)
  })
})

describe('an error that came after the message was sent unlocks a queued task', () => {
  const timedOut = new Error('timed out')

  test('not here: the lock stands, for the grace time and no longer', async () => {
    const singleton = task({ graceMs: 60_000 })
    let id = ''
    const publish = (own: string) => {
      id = own
      return Promise.reject(timedOut)
    }
    await expect(singleton.submit([1], {}, publish)).rejects.toBe(timedOut)
    const lock = singleton.lock([1])
    expect(await singleton.submit([1], {}, never)).toMatchObject({ status: 'duplicate', id })
    expect(await redis.pttl(lock)).toBeGreaterThan(0)
    expect(await redis.pttl(lock)).toBeLessThanOrEqual(60_000)
    await passes(lock)
    expect(await singleton.submit([1], {}, published)).toMatchObject({ status: 'started' })
  })

  test('who submits the same task again goes on where it stopped', async () => {
    const singleton = task({ graceMs: 60_000 })
    const taskId = randomUUID()
    await expect(singleton.submit([1], {}, () => Promise.reject(timedOut), { taskId })).rejects.toBe(timedOut)
    const again = await singleton.submit([1], {}, published, { taskId })
    expect(again).toMatchObject({ status: 'started', id: taskId, guaranteed: true })
    expect(await redis.pttl(again.lock)).toBe(-1)
  })

  test('an error that proves that nothing was sent gives the lock back at once', async () => {
    const unsent = new Error('no route')
    const singleton = task({ isUnpublished: error => error === unsent })
    await expect(singleton.submit([1], {}, () => Promise.reject(unsent))).rejects.toBe(unsent)
    expect(await held(singleton.lock([1]))).toBe(null)
    const synchronous = () => {
      throw unsent
    }
    await expect(singleton.submit([1], {}, synchronous)).rejects.toBe(unsent)
    expect(await held(singleton.lock([1]))).toBe(null)
  })

  test('but not what another task holds by then', async () => {
    const unsent = new Error('no route')
    const singleton = task({ isUnpublished: () => true })
    const lock = singleton.lock([1])
    const publish = async () => {
      await redis.set(lock, 'of another')
      throw unsent
    }
    await expect(singleton.submit([1], {}, publish)).rejects.toBe(unsent)
    expect(await held(lock)).toBe('of another')
  })
})

describe('a producer that dies or halts between lock and publish', () => {
  interface Producer {
    readonly child: ChildProcess
    readonly exited: Promise<unknown>
    readonly line: () => Promise<string>
  }

  /** A producer that has the lock and has not published yet. */
  async function producer(name: string, graceMs: number): Promise<Producer> {
    const child = spawn(process.execPath, [PRODUCER, url, name, String(graceMs)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const exited = once(child, 'exit')
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]()
    const line = async () => String((await lines.next()).value)
    expect(await line()).toBe('publishing')
    return { child, exited, line }
  }

  test('leaves no lock for good', async () => {
    const name = `tasks.${randomUUID()}`
    await using own = new CeleryLocks(redis)
    const singleton = new CeleryTask(own, name)
    const { child, exited } = await producer(name, 60_000)
    child.kill('SIGKILL')
    await exited
    expect(await singleton.submit([], {}, never)).toMatchObject({ status: 'duplicate', id: 'of the child' })
    const leftMs = await redis.pttl(singleton.lock())
    expect(leftMs).toBeGreaterThan(0)
    expect(leftMs).toBeLessThanOrEqual(60_000)
    await passes(singleton.lock())
    const next = await singleton.submit([], {}, published)
    expect(next).toMatchObject({ status: 'started', guaranteed: true })
    expect(await singleton.done(next.id, next.lock)).toBe(true)
  })

  test('and one that published late says so, and its worker is told', async () => {
    const name = `tasks.${randomUUID()}`
    await using own = new CeleryLocks(redis)
    const singleton = new CeleryTask(own, name)
    const { child, exited, line } = await producer(name, 300)
    child.kill('SIGSTOP')
    await expect.poll(() => held(singleton.lock()), { interval: 20 }).toBe(null)
    const other = await singleton.submit([], {}, published)
    child.kill('SIGCONT')
    child.stdin?.write('publish\n')
    expect(JSON.parse(await line())).toMatchObject({ status: 'started', id: 'of the child', guaranteed: false })
    await exited
    expect(await singleton.claim('of the child', other.lock)).toEqual({ status: 'busy', holder: other.id })
    expect(await singleton.claim(other.id, other.lock)).toEqual({ status: 'own' })
    expect(await singleton.done('of the child', other.lock)).toBe(false)
    expect(await singleton.done(other.id, other.lock)).toBe(true)
  })
})

test('a lock that flaps is asked for without end: not here', async () => {
  let flaps = 0
  const singleton = task({
    stateOf: async () => {
      await redis.set(singleton.lock([1]), `holder-${++flaps}`)
      return 'finished'
    },
  })
  await redis.set(singleton.lock([1]), 'holder-0')
  expect(await singleton.submit([1], {}, never)).toMatchObject({
    status: 'duplicate',
    id: 'holder-3',
    state: 'finished',
  })
  expect(flaps).toBe(4)
})

describe('the key is computed again for the release, and is another one', () => {
  test('not here: it is carried, whatever became of arguments and options', async () => {
    const args = [{ page: 1 }]
    const { id, lock } = await task().submit(args, {}, published)
    ;(args[0] as { page: number }).page = 2
    const deployed = task({ uniqueOn: 'user', serialize: String })
    expect(deployed.lock([], { user: 7 })).not.toBe(lock)
    expect(await deployed.done(id, lock)).toBe(true)
    expect(await held(lock)).toBe(null)
  })

  test('nor does a change of the arguments while it is submitted reach the message', async () => {
    const args = [{ page: 1 }]
    const singleton = task()
    let body = ''
    const submitted = singleton.submit(args, {}, async (_, message) => {
      body = message.body
    })
    ;(args[0] as { page: number }).page = 2
    const { lock } = await submitted
    expect(lock).toBe(singleton.lock([{ page: 1 }]))
    expect(body).toContain('{"page": 1}')
  })
})

describe('a result is there before the lock is given back', () => {
  test('who submits in between gets a new run, not the finished one', async () => {
    const singleton = task({ stateOf: results.stateOf })
    const first = await singleton.submit([1], {}, published)
    await leave(first.id, 'SUCCESS')
    const sent: string[] = []
    const second = await singleton.submit([1], {}, async id => void sent.push(id))
    expect(second).toMatchObject({ status: 'recovered', owner: first.id })
    expect(sent).toEqual([second.id])
    // The worker of the first gets round to it now.
    expect(await singleton.done(first.id, first.lock)).toBe(false)
    expect(await held(second.lock)).toBe(second.id)
  })

  test('what would hang on a duplicate, a link or a chain, is not dropped unseen: the outcome says what it is', async () => {
    const singleton = task()
    const first = await singleton.submit([1], {}, published)
    expect(await singleton.submit([1], {}, never)).toEqual({
      status: 'duplicate',
      id: first.id,
      owner: first.id,
      lock: first.lock,
      guaranteed: true,
    })
  })
})

describe('clear_locks', () => {
  test('is never called by itself: new locks, tasks and workers leave live locks alone', async () => {
    const { id, lock } = await task().submit([1], {}, published)
    await using other = new CeleryLocks(redis, { prefix })
    await new CeleryTask(other, 'tasks.other').submit([1], {}, published)
    expect(await held(lock)).toBe(id)
  })

  test.each(['*', '?', '[ab]', '[^a]', '\\', 'a*b', '-', '^', ']'])('takes the prefix %j literally', async glob => {
    await using globbed = new CeleryLocks(redis, { prefix: prefix + glob })
    const matching = [`${prefix}${glob}1`, `${prefix}${glob}2`, `${prefix}${glob}`]
    const others = ['a', 'b', 'ab', 'axb', '1', 'x1', '\\*1', `x${glob}`].filter(name => !name.startsWith(glob))
    for (const lock of matching) await locks.lock(lock, `owner of ${lock}`)
    for (const other of others) await locks.lock(prefix + other, `owner of ${other}`)
    expect(await globbed.clearLocks()).toBe(matching.length)
    expect(await redis.exists(matching)).toBe(0)
    for (const other of others) expect(await locks.get(prefix + other)).toBe(`owner of ${other}`)
    expect(await locks.clear(prefix)).toBe(others.length)
  })

  test('goes to the Redis it was made for, however many there are in the process', async () => {
    const second = new Redis(url, { db: 5 })
    await using elsewhere = new CeleryLocks(second, { prefix })
    const lock = `${prefix}a`
    expect(await locks.lock(lock, 'task-1')).toEqual({ status: 'taken' })
    expect(await elsewhere.lock(lock, 'task-2')).toEqual({ status: 'taken' })
    expect(await elsewhere.clearLocks()).toBe(1)
    expect(await held(lock)).toBe('task-1')
    second.disconnect()
  })
})

describe('an expiry shorter than the wait in the queue and the run makes duplicates', () => {
  test('without an expiry there is none, and a crash is found without one', async () => {
    const { lock } = await task().submit([1], {}, published)
    expect(await redis.pttl(lock)).toBe(-1)
  })

  test('with one, a worker that claims starts it anew', async () => {
    const singleton = task({ lockExpirySeconds: 100 })
    const { id, lock } = await singleton.submit([1], {}, published)
    await redis.pexpire(lock, 50_000)
    expect(await singleton.claim(id, lock)).toEqual({ status: 'own' })
    expect(await redis.pttl(lock)).toBeGreaterThan(90_000)
  })

  test('and one that comes too late is told who has the lock, or takes it', async () => {
    const singleton = task({ lockExpirySeconds: 100 })
    const first = await singleton.submit([1], {}, published)
    await redis.del(first.lock)
    expect(await singleton.claim(first.id, first.lock)).toEqual({ status: 'taken' })
    await redis.del(first.lock)
    const second = await singleton.submit([1], {}, published)
    expect(await singleton.claim(first.id, first.lock)).toEqual({ status: 'busy', holder: second.id })
  })
})
