import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { Queue } from 'bullmq'
import { connect, jobKey, jobLockNames, type Soloist } from 'soloist'
import { SingletonQueue, SingletonWorker } from 'soloist/bullmq'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { eventually, finished, lines, useBench } from './support.js'

const bench = useBench()
const CONTROL = /[\p{Cc}\p{Cf}]/u

let solo: Soloist
beforeEach(() => {
  solo = connect(bench().store)
})
afterEach(() => solo.close())

/** A handler that runs until its lease is gone. */
async function untilLost(_: { id: number }, { signal }: { signal: AbortSignal }): Promise<void> {
  await new Promise(resolve => signal.addEventListener('abort', resolve, { once: true }))
}

/** Triggers a job that is not waited for: its end is that of the test. */
async function start(job: { trigger: (args: { id: number }) => Promise<{ id: string; result: () => Promise<void> }> }) {
  const outcome = await job.trigger({ id: 1 })
  outcome.result().catch(() => {})
  return outcome.id
}

interface Listed {
  readonly job: string
  readonly key: string
  readonly state: string
  readonly owner: string | null
  readonly acquiredAtMs: number | null
  readonly locks: readonly { readonly name: string; readonly owner: string }[]
}

async function listed(...args: readonly string[]): Promise<readonly Listed[]> {
  const { exitCode, stdout, stderr } = await bench().run('jobs', ...args, '--json')
  expect([exitCode, stderr]).toEqual([0, ''])
  return JSON.parse(stdout).jobs
}

describe('jobs', () => {
  test('shows the state of function jobs in every mode', async () => {
    const describe = ({ id }: { id: number }) => `number ${id}`
    const rerun = solo.job('a-rerun', { onDuplicate: 'rerun', describe }, untilLost)
    const running = await start(rerun)
    await start(rerun)
    const gated = solo.job('b-gated', { mode: 'untilExecuting' }, untilLost)
    const first = await start(gated)
    const second = await start(gated)
    const over = solo.job('c-period', { mode: 'untilExpired', expiryMs: 60_000 }, async (_: { id: number }) => {})
    const { id: ended, result } = await over.trigger({ id: 1 })
    await result()
    const busy = await start(solo.job('d-period', { mode: 'untilExpired', expiryMs: 60_000 }, untilLost))
    const stoppable = solo.job('e-stop', { onDuplicate: 'replace', onRunning: 'stop' }, untilLost)
    const stopped = await start(stoppable)

    const jobs = await listed()
    const key = jobKey({ id: 1 })
    expect(jobs.map(({ job, state, owner }) => [job, state, owner])).toEqual([
      ['a-rerun', 'running', running],
      ['a-rerun', 'next', expect.not.stringMatching(running)],
      ['b-gated', 'running', first],
      ['b-gated', 'next', second],
      ['c-period', 'period', ended],
      ['d-period', 'running', busy],
      ['e-stop', 'running', stopped],
    ])
    expect(new Set(jobs.map(job => job.key))).toEqual(new Set([key]))
    const { trigger, run } = jobLockNames('d-period', key)
    expect(jobs[5]?.locks.map(({ name, owner }) => [name, owner])).toEqual([
      [run, busy],
      [trigger, busy],
    ])

    const { exitCode, stdout, stderr } = await bench().run('jobs', 'a-')
    expect([exitCode, stderr]).toEqual([0, ''])
    const [title, live, next, ...rest] = lines(stdout)
    expect(title).toMatch(/^JOB +KEY +OWNER +STATE +AGE +EXPIRES IN +WAITING +NOTES +RUN BY +FOR$/)
    const by = `${hostname().slice(0, 100)}:${process.pid}`
    expect(live).toMatch(new RegExp(`^a-rerun +${key} +${running} +running +\\d\\S*s +\\d\\ds +1 +0 +${by} +number 1$`))
    expect(next).toMatch(new RegExp(` +next +\\d\\S*s +- +0 +0 +${by} +number 1$`))
    expect(rest).toEqual([])
  })

  test('shows the state of BullMQ jobs', async () => {
    const name = 'work'
    const prefix = `t${randomUUID().slice(0, 8)}`
    const { hostname: host, port } = new URL(String(process.env.SOLOIST_TEST_REDIS))
    const options = { connection: { host, port: Number(port) }, prefix }
    const queue = new SingletonQueue<{ id: number }, void, string>(name, {
      ...options,
      singleton: {
        solo,
        jobs: {
          'a-executed': { onDuplicate: 'rerun' },
          'b-both': { mode: 'untilAndWhileExecuting' },
          'c-expired': { mode: 'untilExpired', expiryMs: 60_000 },
        },
      },
    })
    const add = async (job: string) => `bullmq:${prefix}:${name}:${(await queue.add(job, { id: 1 }, RETRY)).id}`
    const states = async () => (await listed()).map(({ job, state, owner }) => [job, state, owner?.replace(/#.*$/, '')])

    const executed = await add('a-executed')
    const expired = await add('c-expired')
    expect(await states()).toEqual([
      ['a-executed', 'queued', executed],
      ['c-expired', 'period', expired],
    ])

    const started: (() => void)[] = []
    const worker = new SingletonWorker(
      name,
      async () => {
        await new Promise<void>((_, reject) => started.push(() => reject(new Error('tried'))))
      },
      { ...options, concurrency: 10, singleton: { solo } },
    )
    try {
      await eventually('both run', () => started.length === 2)
      const next = await add('a-executed')
      const both = await add('b-both')
      await eventually('the third runs', () => started.length === 3)
      const behind = await add('b-both')
      await eventually(
        'the fourth waits',
        async () => (await states()).filter(([job]) => job === 'b-both').length === 2,
      )
      // Whether a job that has begun runs just now, its queue knows.
      expect(await states()).toEqual([
        ['a-executed', 'live', executed],
        ['a-executed', 'next', next],
        ['b-both', 'live', both],
        ['b-both', 'next', behind],
        ['c-expired', 'period', expired],
      ])
      for (const end of started) end()
      await eventually('what followed runs', () => started.length > 3)
    } finally {
      for (const end of started) end()
      await worker.close(true)
      await queue.close()
      const plain = new Queue(name, options)
      await plain.obliterate({ force: true })
      await plain.close()
    }
  })

  test('tells when a BullMQ job was added that took its lock in the same step, and gives the lock up', async () => {
    const url = String(process.env.SOLOIST_TEST_REDIS)
    const { hostname: host, port } = new URL(url)
    const prefix = `t${randomUUID().slice(0, 8)}`
    const options = { connection: { host, port: Number(port) }, prefix }
    const singleton = { prefix: `${prefix}-locks:`, jobs: { sync: {} } }
    const queue = new SingletonQueue<{ id: number }, void, string>('work', { ...options, singleton })
    try {
      await queue.waitUntilReady()
      const fromMs = Date.now()
      const { id } = await queue.add('sync', { id: 1 })
      const store = ['--store', url, '--key-prefix', `${prefix}-locks:`]
      const [job, ...others] = await listed(...store)
      const toMs = Date.now()
      expect([job?.state, job?.owner, others]).toEqual(['live', `bullmq:${prefix}:work:${id}`, []])
      expect(job?.acquiredAtMs).toBeGreaterThanOrEqual(fromMs - 1)
      expect(job?.acquiredAtMs).toBeLessThanOrEqual(toMs)
      expect(job?.locks).toMatchObject([{ fence: 0, acquiredAtMs: job?.acquiredAtMs }])
      const { stdout } = await bench().run('jobs', ...store)
      expect(stdout).not.toContain('unknown')
      const released = await bench().run('jobs', 'release', String(job?.key), '--yes', ...store)
      expect([released.exitCode, await listed(...store)]).toEqual([0, []])
    } finally {
      await queue.obliterate({ force: true })
      await queue.close()
    }
  })

  test('takes the prefix literally, and leaves other locks out', async () => {
    for (const job of ['a*', 'ab', 'b:c']) await solo.jobs.take(jobLockNames(job, jobKey(1)).trigger, 'me')
    await solo.lock('job:no-job')
    await solo.lock('a-lock')
    const names = async (...args: readonly string[]) => (await listed(...args)).map(({ job }) => job)
    expect(await names()).toEqual(['a*', 'ab', 'b:c'])
    expect(await names('a*')).toEqual(['a*'])
    expect(await names('b:')).toEqual(['b:c'])
  })

  test('takes `release` for the start of a name behind --, and for the verb before it', async () => {
    for (const job of ['release', 'released', 'sync']) {
      await solo.jobs.take(jobLockNames(job, jobKey(1)).trigger, 'me')
    }
    const behind = await bench().run('jobs', '--json', '--', 'release')
    expect(behind).toMatchObject({ exitCode: 0, stderr: '' })
    expect(JSON.parse(behind.stdout).jobs.map(({ job }: Listed) => job)).toEqual(['release', 'released'])

    const { trigger } = jobLockNames('sync', jobKey(1))
    expect((await bench().run('jobs', '--', 'release', trigger)).exitCode).toBe(2)
    expect((await bench().run('jobs', 'release', '--yes', '--', 'release')).exitCode).toBe(2)
    expect((await solo.jobs.holder(trigger))?.owner).toBe('me')
    expect((await bench().run('jobs', 'release', '--yes', '--', trigger)).exitCode).toBe(0)
    expect((await listed()).map(({ job }) => job)).toEqual(['release', 'released'])
  })

  test('says so when there is nothing, on stderr', async () => {
    expect(await bench().run('jobs')).toEqual({ exitCode: 0, stdout: '', stderr: 'soloist: no job is live\n' })
    expect(await bench().run('jobs', 'x', '--quiet')).toEqual({ exitCode: 0, stdout: '', stderr: '' })
    expect(await bench().run('jobs', '--json')).toEqual({ exitCode: 0, stdout: '{"jobs":[]}\n', stderr: '' })
  })

  test('shows control characters as text, and keeps them in JSON', async () => {
    const job = 'red\x1b[31m\nfake\u202e'
    await solo.jobs.take(jobLockNames(job, jobKey(1)).trigger, 'own\x1b]0;er')
    const { stdout } = await bench().run('jobs')
    expect(lines(stdout)).toHaveLength(2)
    expect(stdout).toContain('red\\x1b[31m\\x0afake\\u202e')
    expect(stdout).toContain('own\\x1b]0;er')
    expect(await listed()).toMatchObject([{ job, owner: 'own\x1b]0;er', state: 'queued' }])
    const released = await bench().run('jobs', 'release', jobKey(1), '--yes')
    for (const text of [stdout, released.stdout]) expect(text.replaceAll('\n', '')).not.toMatch(CONTROL)
    expect(await listed()).toEqual([])
  })
})

test('the prefix that the help watches is that of the locks of jobs', async () => {
  const id = await start(solo.job('sync', untilLost))
  const { stdout: help } = await bench().run('--help')
  const prefix = /soloist watch (\S+)/.exec(help)?.[1] ?? ''
  const { stdout } = await bench().run('ls', prefix, '--json')
  expect(JSON.parse(stdout).locks).toMatchObject([{ holders: [{ owner: id }] }])
})

describe('jobs release', () => {
  test('takes every lock of one job away, says from whom, and the next trigger starts', async () => {
    const job = solo.job('sync', { ttlMs: 5_000, onDuplicate: 'reject' }, untilLost)
    const { id: lost, result } = await job.trigger({ id: 1 })
    const ended = result().catch(error => error.code)
    await solo.jobs.take(jobLockNames('other', jobKey({ id: 2 })).trigger, 'stays')
    const shown = jobKey({ id: 1 }).slice(0, 15)
    const { exitCode, stdout, stderr } = await bench().run('jobs', 'release', shown, '--yes')
    expect([exitCode, stderr]).toEqual([0, ''])
    const { trigger } = jobLockNames('sync', jobKey({ id: 1 }))
    expect(lines(stdout)).toEqual([
      expect.stringMatching(
        new RegExp(`^'${trigger}' \\(running\\) was taken away from ${lost} since .* ago, '.*:${process.pid}'\\)$`),
      ),
    ])
    expect(await ended).toBe('LEASE_LOST')
    expect((await listed()).map(({ job }) => job)).toEqual(['other'])
    const next = await start(job)
    expect((await solo.jobs.holder(trigger))?.owner).toBe(next)
  })

  test('takes what a queued job, its run and its follow-up hold; by the name of one lock only that', async () => {
    const { trigger, run, next } = jobLockNames('a:b', jobKey(1))
    await solo.jobs.take(trigger, 'job-1')
    await solo.jobs.take(run, 'job-1', { ttlMs: 60_000 })
    await solo.jobs.take(next, 'job-2')
    const one = await bench().run('jobs', 'release', next, '--yes', '--json')
    expect(one).toMatchObject({ exitCode: 0, stderr: '' })
    expect(JSON.parse(one.stdout)).toEqual({
      removed: [
        {
          name: next,
          state: 'next',
          owner: 'job-2',
          mode: 'exclusive',
          limit: null,
          fence: expect.any(Number),
          acquiredAtMs: expect.any(Number),
          expiresAtMs: null,
          meta: null,
        },
      ],
    })
    expect((await listed()).map(({ state }) => state)).toEqual(['running'])
    const all = JSON.parse((await bench().run('jobs', '--json', 'release', trigger, '--yes')).stdout)
    expect(all.removed.map(({ name }: { name: string }) => name)).toEqual([run, trigger])
    expect(await listed()).toEqual([])
  })

  test.each([
    ['n\r', 1],
    ['\x03', 1],
    ['y\r', 0],
  ])('shows the state and asks on a terminal, and the answer %j ends with exit code %d', async (answer, exitCode) => {
    const { trigger } = jobLockNames('sync', jobKey(1))
    await solo.jobs.take(trigger, 'job-1')
    const running = bench().startOnTerminal('jobs', 'release', trigger)
    await running.printed('[y/N] ')
    expect(running.stdout).toContain(`'${trigger}' (queued), held by job-1 since `)
    running.type(answer)
    expect((await running.ended).exitCode).toBe(exitCode)
    expect((await solo.jobs.holder(trigger))?.owner).toBe(exitCode === 0 ? undefined : 'job-1')
  })

  test('never takes a lock from a newer owner than the one it has shown', async () => {
    const { trigger } = jobLockNames('sync', jobKey(1))
    await solo.jobs.take(trigger, 'job-1')
    const running = bench().startOnTerminal('jobs', 'release', jobKey(1))
    await running.printed('[y/N] ')
    await solo.jobs.take(trigger, 'job-2', { replaces: 'job-1' })
    running.type('y\r')
    const { exitCode, stdout } = await running.ended
    expect(stdout).toContain('(queued) is not held by job-1 any more; it was not taken away')
    expect(exitCode).toBe(1)
    expect((await solo.jobs.holder(trigger))?.owner).toBe('job-2')
  })

  test('of what is not live is exit code 1', async () => {
    const key = jobKey(1)
    const text = await bench().run('jobs', 'release', key, '--yes')
    expect(text).toMatchObject({ exitCode: 1, stderr: '' })
    expect(lines(text.stdout)).toEqual([expect.stringMatching(/^no live job has 'v1:.*'; nothing was taken away$/)])
    const json = await bench().run('jobs', 'release', jobLockNames('sync', key).run, '--yes', '--json')
    expect(json).toEqual({ exitCode: 1, stdout: '{"removed":[]}\n', stderr: '' })
  })

  test('of the key of several jobs names them and takes nothing', async () => {
    const names = ['sync', 'report'].map(job => jobLockNames(job, jobKey(1)).trigger)
    for (const name of names) await solo.jobs.take(name, 'me')
    const { exitCode, stdout, stderr } = await bench().run('jobs', 'release', jobKey(1), '--yes')
    expect([exitCode, stdout]).toEqual([2, ''])
    expect(lines(stderr)).toEqual([expect.stringMatching(/^soloist: 'v1:.*' is the key of several jobs; name one of /)])
    for (const name of names) {
      expect(stderr).toContain(name)
      expect((await solo.jobs.holder(name))?.owner).toBe('me')
    }
  })

  test.each([
    ['no key', ['release'], /missing required argument 'key'/],
    ['a key that is none', ['release', 'nightly', '--yes'], /'nightly' is neither a key .* nor the name of a job lock/],
    ['a key that is too short', ['release', 'v1:12345', '--yes'], /neither a key/],
    ['the lock of another kind', ['release', `${jobLockNames('a', jobKey(1)).stop}`, '--yes'], /neither a key/],
    ['nobody to ask', ['release', jobKey(1)], /stdin is no terminal/],
  ])('%s gets one line and exit code 2', async (_, args, message) => {
    const { exitCode, stdout, stderr } = await bench().run('jobs', ...args)
    expect(lines(stderr)).toEqual([expect.stringMatching(message)])
    expect(stderr).toMatch(/\(see soloist jobs release --help\)\n$/)
    expect([exitCode, stdout]).toEqual([2, ''])
  })
})

test.each([[['jobs']], [['jobs', 'release']]])(
  'the help of %j fits 80 columns, and docs/cli.md has its options',
  async verb => {
    const { exitCode, stdout } = await finished(bench().startIn({}, [...verb, '--help']))
    expect(exitCode).toBe(0)
    expect(Math.max(...lines(stdout).map(line => line.length))).toBeLessThanOrEqual(80)
    const page = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8')
    const options = [...stdout.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map(match => match[1])
    expect(options).toContain('--store')
    for (const option of options) if (option !== '--help') expect(page).toContain(`\`${option}`)
  },
)

/** Each attempt after the first comes long after the test. */
const RETRY = { attempts: 2, backoff: { type: 'fixed', delay: 600_000 } }
